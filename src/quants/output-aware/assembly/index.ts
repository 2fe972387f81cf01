// The module: error feedback and coordinate descent in SIMD.
export { IS_POINT, MAGNITUDES, SECONDS, STARTS, use_floats, use_grid, use_integers, use_shifts } from "./choose";
export { add_product, pack_rows } from "./product";
export { add_rounded_product, pack_rounded } from "./rounded-product";
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
