// The module: error feedback and coordinate descent in SIMD, and making the factor that they need.
export {
  IS_POINT,
  MAGNITUDES,
  POINTS,
  use_floats,
  use_integers,
  use_points,
  use_shifts,
} from "./choose";
export { fill_feedback, fill_rounded, scale_upper } from "./factor";
export { add_product, fill_tiles, fill_tiles_across, pack_columns, pack_rows, take_columns } from "./product";
export { add_rounded_product, add_scaled_product, pack_rounded, pack_tile, round_batch } from "./rounded-product";
export {
  MULTIPLES,
  compute_gradients,
  descend,
  feed_forward,
  round_errors,
  set_factor,
  set_format,
  set_rows,
} from "./rows";

/** First byte behind the tables of all files; from here on memory belongs to the host. */
export function heap_base(): usize {
  return __heap_base;
}
