// Error feedback and coordinate descent on rows, a superblock of 256 columns ("panel") of several rows at a time:
// what all other columns contribute is one product for all rows, the rest happens within the panel. The reference
// is ../encode-row.ts.
import { f16_to_f32, f32_to_f16 } from "../../kernels/assembly/half";
import { choose, set_minimum } from "./choose";
import { add_rounded_product, pack_rounded } from "./rounded-product";
import { add, add_rows, add_scaled, clear, copy, dot, multiply, subtract_from } from "./vectors";

const PANEL: i32 = 256;
const PANEL_BYTES: usize = 1024;

let columns: i32 = 0;
let block: i32 = 0;
let unit: i32 = 0;
let lowest: i32 = 0;
let highest: i32 = 0;
let highest_minimum: i32 = 0;
let fixed_scale: bool = false;
/** f32[128]: what d is multiplied by, for integer scales from `lowest` on. */
export const MULTIPLES: usize = memory.data(512, 16);

/** The diagonal panels of U and H row after row (panel, row, column). */
let near_feedback: usize = 0;
let near_moments: usize = 0;
/**
 * Between panels all products are with int16 in tiles: what rounding does to them is a thousandth of what a weight's own
 * error does. H's correlations H_ij / sqrt(H_ii H_jj) times 2^14, and the roots of H's diagonal; U_ij / sqrt(H_ii), of
 * which the largest of a column is 2^14, and what it was.
 */
let correlations: usize = 0;
let deviations: usize = 0;
let feedback: usize = 0;
let feedback_scales: usize = 0;
/** `unit` values for each column: S, and the inverses of H's diagonal blocks; and the diagonals of S and H. */
let conditional: usize = 0;
let inverses: usize = 0;
let conditional_diagonal: usize = 0;
let moment_diagonal: usize = 0;

/** Row after row: targets, errors and values; per panel two f32, d and dmin; per block two i32, scale and minimum. */
let targets: usize = 0;
let errors: usize = 0;
let values: usize = 0;
let scales: usize = 0;
let integers: usize = 0;
/** Per row 256 values: targets with feedback, or gradients, of the panel in work. */
let panel_values: usize = 0;
/**
 * The errors again, packed for products, four rows after four rows: panel after panel in int16, followed by f32[4], what
 * a product of each row is to be multiplied by.
 */
let packed_errors: usize = 0;
/** Per row 256 values, what a scale is multiplied by, and their products with the panel's moments; four rows packed. */
let steps: usize = 0;
let step_products: usize = 0;
let packed_steps: usize = 0;

/** f32[32]: a block that is tried: its values, errors, targets, gradient, and the contribution of other blocks. */
const TRIAL: usize = memory.data(128, 16);
const TRIAL_ERROR: usize = memory.data(128, 16);
const TRIAL_TARGET: usize = memory.data(128, 16);
const TRIAL_GRADIENT: usize = memory.data(128, 16);
const OTHERS: usize = memory.data(128, 16);
const BEST: usize = memory.data(128, 16);
const BEST_ERROR: usize = memory.data(128, 16);
/** f32[8]: a unit that is chosen: its values and errors, those before, what it wants, and its gradient without itself. */
const VALUE: usize = memory.data(32, 16);
const ERROR: usize = memory.data(32, 16);
const OLD_ERROR: usize = memory.data(32, 16);
const WANTED: usize = memory.data(32, 16);
const REST: usize = memory.data(32, 16);
const STEP: usize = memory.data(32, 16);
/** f32[4][256]: errors of four rows in a panel, times the roots of H's diagonal. */
const SCALED: usize = memory.data(4096, 16);
/** f32[4]: what they are multiplied by before they are rounded. */
const ROUNDING: usize = memory.data(16, 16);

/** Length of a row of a panel in whole numbers: times 2^14 sqrt(256), the most of a column, it stays below 2^31. */
const ROUNDED_LENGTH: f32 = 8000;
/** Bytes of four packed rows of a panel in int16, and of their factors. */
const ROUNDED_BYTES: usize = 2048;
const ROUNDED_PANEL: usize = ROUNDED_BYTES + 16;

export function set_format(
  block_: i32,
  unit_: i32,
  lowest_: i32,
  highest_: i32,
  highestMinimum: i32,
  fixedScale: i32,
): void {
  block = block_;
  unit = unit_;
  lowest = lowest_;
  highest = highest_;
  highest_minimum = highestMinimum;
  fixed_scale = fixedScale != 0;
}

export function set_factor(
  columns_: i32,
  feedback_: usize,
  feedbackScales: usize,
  correlations_: usize,
  deviations_: usize,
  nearFeedback: usize,
  nearMoments: usize,
  conditional_: usize,
  inverses_: usize,
  conditionalDiagonal: usize,
  momentDiagonal: usize,
): void {
  columns = columns_;
  feedback = feedback_;
  feedback_scales = feedbackScales;
  correlations = correlations_;
  deviations = deviations_;
  near_feedback = nearFeedback;
  near_moments = nearMoments;
  conditional = conditional_;
  inverses = inverses_;
  conditional_diagonal = conditionalDiagonal;
  moment_diagonal = momentDiagonal;
}

export function set_rows(
  targets_: usize,
  errors_: usize,
  values_: usize,
  scales_: usize,
  integers_: usize,
  panelValues: usize,
  packedErrors: usize,
  steps_: usize,
  stepProducts: usize,
  packedSteps: usize,
): void {
  targets = targets_;
  errors = errors_;
  values = values_;
  scales = scales_;
  integers = integers_;
  panel_values = panelValues;
  packed_errors = packedErrors;
  steps = steps_;
  step_products = stepProducts;
  packed_steps = packedSteps;
}

/** Error feedback through all panels of `rows` rows, a multiple of four. */
export function feed_forward(rows: i32): void {
  for (let panel: i32 = 0; panel < columns; panel += PANEL) {
    add_feedback(rows, panel);
    for (let row: i32 = 0; row < rows; row++) feed_panel(row, panel);
    round_panel(rows, panel);
  }
}

/**
 * One pass of coordinate descent over all panels of `rows` rows, a multiple of four.
 * @param sweeps how often the units of a panel are chosen again
 * @param triesScales whether blocks try the scales beside their own, in the first sweep
 */
export function descend(rows: i32, sweeps: i32, triesScales: i32): void {
  const candidates = triesScales == 0 ? 1 : highest_minimum > 0 ? 5 : 3;
  for (let panel: i32 = 0; panel < columns; panel += PANEL) {
    compute_gradients(rows, panel);
    if (!fixed_scale) fit_scales(rows, panel);
    for (let row: i32 = 0; row < rows; row++) {
      for (let sweep: i32 = 0; sweep < sweeps; sweep++) sweep_panel(row, panel, sweep == 0 ? candidates : 1);
    }
    round_panel(rows, panel);
  }
}

/** Makes a panel's values the targets and the errors of the panels before, times U. */
function add_feedback(rows: i32, panel: i32): void {
  multiply_errors(rows, panel, panel, feedback, feedback_scales);
  for (let row: i32 = 0; row < rows; row++) {
    add(panel_values + <usize>row * PANEL_BYTES, row_at(targets, row, panel), PANEL);
  }
}

/** Makes a panel's values the errors times H; `round_errors` comes first. */
export function compute_gradients(rows: i32, panel: i32): void {
  multiply_errors(rows, panel, columns, correlations, deviations);
}

/**
 * Makes a panel's values the rounded errors of columns [0, end) times a matrix.
 * @param matrix int16 in tiles
 * @param factors what its columns are multiplied by
 */
function multiply_errors(rows: i32, panel: i32, end: i32, matrix: usize, factors: usize): void {
  memory.fill(panel_values, 0, <usize>rows * PANEL_BYTES);
  const stride = <usize>columns << 4;
  const tiles = matrix + (<usize>panel >> 3) * stride;
  // All rows, before the next part of the matrix: 128 kB stay in the second-level cache.
  for (let from: i32 = 0; from < end; from += PANEL) {
    const tile = tiles + (<usize>from << 4);
    for (let row: i32 = 0; row < rows; row += 4) {
      const packed = rounded_at(row, from);
      const out = panel_values + <usize>row * PANEL_BYTES;
      add_rounded_product(packed, PANEL >> 1, tile, stride, PANEL, packed + ROUNDED_BYTES, out, PANEL_BYTES);
    }
  }
  const own = factors + (<usize>panel << 2);
  for (let row: i32 = 0; row < rows; row++) multiply(panel_values + <usize>row * PANEL_BYTES, own, PANEL);
}

/** Rounds and packs the errors of all panels. */
export function round_errors(rows: i32): void {
  for (let panel: i32 = 0; panel < columns; panel += PANEL) round_panel(rows, panel);
}

function round_panel(rows: i32, panel: i32): void {
  for (let row: i32 = 0; row < rows; row += 4) {
    round_four(row_at(errors, row, panel), <usize>columns << 2, panel, rounded_at(row, panel));
  }
}

/** Rounds and packs a panel's columns of four rows, `stride` bytes apart, times the roots of H's diagonal. */
function round_four(rows: usize, stride: usize, panel: i32, packed: usize): void {
  const roots = deviations + (<usize>panel << 2);
  for (let i: i32 = 0; i < 4; i++, rows += stride) {
    const scaled = SCALED + <usize>i * PANEL_BYTES;
    copy(scaled, rows, PANEL);
    multiply(scaled, roots, PANEL);
    const length = sqrt<f32>(dot(scaled, scaled, PANEL));
    const place = <usize>i << 2;
    store<f32>(ROUNDING + place, length > 0 ? ROUNDED_LENGTH / length : 0);
    store<f32>(packed + ROUNDED_BYTES + place, length / (ROUNDED_LENGTH * 16384));
  }
  pack_rounded(SCALED, PANEL_BYTES, PANEL, ROUNDING, packed);
}

/** The rounded errors of four rows in a panel. */
// @ts-ignore: decorator
@inline
function rounded_at(row: i32, panel: i32): usize {
  return row_at(packed_errors, row, 0) + <usize>(panel >> 8) * ROUNDED_PANEL;
}

// @ts-ignore: decorator
@inline
function row_at(matrix: usize, row: i32, column: i32): usize {
  return matrix + ((<usize>row * <usize>columns + <usize>column) << 2);
}

/** The address of a panel's d and dmin. */
// @ts-ignore: decorator
@inline
function scales_at(row: i32, column: i32): usize {
  return scales + (<usize>(row * (columns >> 8) + (column >> 8)) << 3);
}

/** The address of a block's integer scale and minimum. */
// @ts-ignore: decorator
@inline
function integers_at(row: i32, column: i32): usize {
  return integers + (<usize>(row * (columns / block) + column / block) << 3);
}

// @ts-ignore: decorator
@inline
function scale_of(d: f32, s: i32): f32 {
  return d * load<f32>(MULTIPLES + (<usize>(s - lowest) << 2));
}

/** Candidate k of five: the same, scale - 1, + 1, minimum - 1, + 1. False if the format has no such. */
// @ts-ignore: decorator
@inline
function is_candidate(s: i32, m: i32): bool {
  return s >= lowest && s <= highest && m >= 0 && m <= highest_minimum;
}

// @ts-ignore: decorator
@inline
function scale_step(k: i32): i32 {
  return k == 1 ? -1 : k == 2 ? 1 : 0;
}

// @ts-ignore: decorator
@inline
function minimum_step(k: i32): i32 {
  return k == 3 ? -1 : k == 4 ? 1 : 0;
}

function feed_panel(row: i32, panel: i32): void {
  const fed = panel_values + <usize>row * PANEL_BYTES;
  const d = load<f32>(scales_at(row, panel));
  const dmin = load<f32>(scales_at(row, panel), 4);
  const near = near_feedback + (<usize>panel << 10);
  const candidates = highest_minimum > 0 ? 5 : 3;
  for (let from: i32 = 0; from < PANEL; from += block) {
    const place = integers_at(row, panel + from);
    const s = load<i32>(place);
    const m = load<i32>(place, 4);
    let least: f32 = Infinity;
    for (let k: i32 = 0; k < candidates; k++) {
      const tryS = s + scale_step(k);
      const tryM = m + minimum_step(k);
      if (!is_candidate(tryS, tryM)) continue;
      set_minimum(tryM);
      const cost = try_forward(row, panel, from, scale_of(d, tryS), dmin * <f32>tryM, least);
      if (cost >= least) continue;
      least = cost;
      store<i32>(place, tryS);
      store<i32>(place, tryM, 4);
      copy(BEST, TRIAL, block);
      copy(BEST_ERROR, TRIAL_ERROR, block);
    }
    copy(row_at(values, row, panel + from), BEST, block);
    copy(row_at(errors, row, panel + from), BEST_ERROR, block);
    const next = <usize>(from + block) << 2;
    add_rows(fed + next, near + (<usize>from << 10) + next, PANEL_BYTES, BEST_ERROR, block, PANEL - from - block);
  }
}

/** Encodes a block with a scale, unit after unit; returns its conditional cost, or `limit` or more once it gets there. */
function try_forward(row: i32, panel: i32, from: i32, scale: f32, offset: f32, limit: f32): f32 {
  const fed = panel_values + <usize>row * PANEL_BYTES + (<usize>from << 2);
  const target = row_at(targets, row, panel + from);
  const near = near_feedback + (<usize>panel << 10) + (<usize>from << 2);
  const bytes = <usize>block << 2;
  const offsets = f32x4.splat(offset);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(TRIAL_TARGET + i, f32x4.add(v128.load(fed + i), offsets));
  }
  let cost: f32 = 0;
  for (let at: i32 = 0; at < block; at += unit) {
    const column = <usize>(panel + from + at);
    const place = <usize>at << 2;
    choose(TRIAL_TARGET + place, conditional_diagonal + (column << 2), scale, TRIAL + place);
    const lines = conditional + ((column * <usize>unit) << 2);
    if (unit == 1) {
      const value = scale * load<f32>(TRIAL + place);
      store<f32>(REST, load<f32>(TRIAL_TARGET + place) - value);
      store<f32>(TRIAL_ERROR + place, load<f32>(target + place) - value + offset);
    } else {
      for (let i: usize = 0; i < <usize>unit << 2; i += 16) {
        const value = f32x4.mul(f32x4.splat(scale), v128.load(TRIAL + place + i));
        v128.store(REST + i, f32x4.sub(v128.load(TRIAL_TARGET + place + i), value));
        v128.store(TRIAL_ERROR + place + i, f32x4.add(f32x4.sub(v128.load(target + place + i), value), offsets));
      }
    }
    cost += quadratic(REST, lines, <usize>unit << 2);
    if (at + unit == block || cost >= limit) break;
    // Up to the end of its own unit, a line is zero.
    const next = <usize>((at + unit) & ~3) << 2;
    const line = near + (<usize>(from + at) << 10) + next;
    add_rows(TRIAL_TARGET + next, line, PANEL_BYTES, TRIAL_ERROR + place, unit, block - <i32>(next >> 2));
  }
  return cost;
}

/** x A x^T for the first values of x, with lines of `stride` bytes. */
// @ts-ignore: decorator
@inline
function quadratic(x: usize, a: usize, stride: usize): f32 {
  if (unit == 1) return load<f32>(x) * load<f32>(x) * load<f32>(a);
  let sum = f32x4.splat(0);
  for (let i: i32 = 0; i < unit; i++) {
    const factor = v128.load32_splat(x + (<usize>i << 2));
    let line = f32x4.mul(v128.load(a), v128.load(x));
    if (unit == 8) line = f32x4.add(line, f32x4.mul(v128.load(a, 16), v128.load(x, 16)));
    sum = f32x4.add(sum, f32x4.mul(factor, line));
    a += stride;
  }
  const pairs = f32x4.add(sum, v128.shuffle<u32>(sum, sum, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** Chooses the units of a panel again; its values are the gradients of all errors as they are, and stay so. */
function sweep_panel(row: i32, panel: i32, candidates: i32): void {
  const gradient = panel_values + <usize>row * PANEL_BYTES;
  const d = load<f32>(scales_at(row, panel));
  const dmin = load<f32>(scales_at(row, panel), 4);
  const near = near_moments + (<usize>panel << 10);
  for (let from: i32 = 0; from < PANEL; from += block) {
    const place = integers_at(row, panel + from);
    const error = row_at(errors, row, panel + from);
    const value = row_at(values, row, panel + from);
    const own = gradient + (<usize>from << 2);
    const s = load<i32>(place);
    const m = load<i32>(place, 4);
    clear(OTHERS, block);
    add_rows(OTHERS, near + (<usize>from << 10) + (<usize>from << 2), PANEL_BYTES, error, block, block);
    subtract_from(own, OTHERS, block);
    let least: f32 = Infinity;
    for (let k: i32 = 0; k < candidates; k++) {
      const tryS = s + scale_step(k);
      const tryM = m + minimum_step(k);
      if (!is_candidate(tryS, tryM)) continue;
      set_minimum(tryM);
      copy(TRIAL, value, block);
      copy(TRIAL_ERROR, error, block);
      copy(TRIAL_GRADIENT, own, block);
      const cost = try_again(row, panel, from, scale_of(d, tryS), dmin * <f32>tryM, k == 0);
      if (cost >= least) continue;
      least = cost;
      store<i32>(place, tryS);
      store<i32>(place, tryM, 4);
      copy(BEST, TRIAL, block);
      copy(BEST_ERROR, TRIAL_ERROR, block);
    }
    for (let i: i32 = 0; i < block; i++) {
      const change = load<f32>(BEST_ERROR + (<usize>i << 2)) - load<f32>(error + (<usize>i << 2));
      if (change == 0) continue;
      add_scaled(gradient, near + (<usize>(from + i) << 10), change, PANEL);
    }
    copy(value, BEST, block);
    copy(error, BEST_ERROR, block);
  }
}

/** Chooses the units of a block again with a scale; see the reference. Returns the block's part of the cost. */
function try_again(row: i32, panel: i32, from: i32, scale: f32, offset: f32, sameScale: bool): f32 {
  const target = row_at(targets, row, panel + from);
  const near = near_moments + (<usize>panel << 10) + (<usize>from << 2);
  if (unit == 1) {
    choose_weights_again(target, near, panel + from, from, scale, offset, sameScale);
  } else {
    choose_units_again(target, near, panel + from, from, scale, offset, sameScale);
  }
  return dot(TRIAL_ERROR, TRIAL_GRADIENT, block) + dot(TRIAL_ERROR, OTHERS, block);
}

/**
 * Units of one weight.
 * @param near H between the panel's rows and the block's columns, row after row
 * @param column the block's first, of all columns; `from` is that within the panel
 */
function choose_weights_again(
  target: usize,
  near: usize,
  column: i32,
  from: i32,
  scale: f32,
  offset: f32,
  sameScale: bool,
): void {
  for (let at: i32 = 0; at < block; at++) {
    const place = <usize>at << 2;
    const line = near + (<usize>(from + at) << 10);
    const h = load<f32>(line + place);
    const old = load<f32>(TRIAL_ERROR + place);
    const rest = load<f32>(TRIAL_GRADIENT + place) - old * h;
    const wanted = load<f32>(target + place) + offset;
    store<f32>(TRIAL_TARGET, wanted + rest / h);
    choose(TRIAL_TARGET, moment_diagonal + (<usize>(column + at) << 2), scale, VALUE);
    const error = wanted - scale * load<f32>(VALUE);
    if (sameScale && error * (error * h + 2 * rest) >= old * (old * h + 2 * rest)) continue;
    store<f32>(TRIAL + place, load<f32>(VALUE));
    store<f32>(TRIAL_ERROR + place, error);
    if (error != old) add_scaled(TRIAL_GRADIENT, line, error - old, block);
  }
}

/** Units of four or eight weights; the parameters are those of `choose_weights_again`. */
function choose_units_again(
  target: usize,
  near: usize,
  column: i32,
  from: i32,
  scale: f32,
  offset: f32,
  sameScale: bool,
): void {
  const unitBytes = <usize>unit << 2;
  for (let at: i32 = 0; at < block; at += unit) {
    const place = <usize>at << 2;
    // H between the unit's own columns.
    const own = near + (<usize>(from + at) << 10) + place;
    const first = <usize>(column + at);
    copy(OLD_ERROR, TRIAL_ERROR + place, unit);
    clear(STEP, unit);
    add_rows(STEP, own, PANEL_BYTES, OLD_ERROR, unit, unit);
    for (let i: usize = 0; i < unitBytes; i += 16) {
      const wanted = f32x4.add(v128.load(target + place + i), f32x4.splat(offset));
      v128.store(REST + i, f32x4.sub(v128.load(TRIAL_GRADIENT + place + i), v128.load(STEP + i)));
      v128.store(WANTED + i, wanted);
      v128.store(TRIAL_TARGET + i, wanted);
    }
    add_rows(TRIAL_TARGET, inverses + (first * unitBytes), unitBytes, REST, unit, unit);
    choose(TRIAL_TARGET, moment_diagonal + (first << 2), scale, VALUE);
    for (let i: usize = 0; i < unitBytes; i += 16) {
      const got = f32x4.mul(f32x4.splat(scale), v128.load(VALUE + i));
      v128.store(ERROR + i, f32x4.sub(v128.load(WANTED + i), got));
    }
    if (sameScale && unit_cost(ERROR, own) >= unit_cost(OLD_ERROR, own)) continue;
    copy(TRIAL + place, VALUE, unit);
    copy(TRIAL_ERROR + place, ERROR, unit);
    for (let i: i32 = 0; i < unit; i++) {
      const here = <usize>i << 2;
      const change = load<f32>(ERROR + here) - load<f32>(OLD_ERROR + here);
      if (change == 0) continue;
      add_scaled(TRIAL_GRADIENT, near + (<usize>(from + at + i) << 10), change, block);
    }
  }
}

/** e H_uu e^T + 2 e rest. */
// @ts-ignore: decorator
@inline
function unit_cost(e: usize, own: usize): f32 {
  return quadratic(e, own, PANEL_BYTES) + <f32>2 * dot(e, REST, unit);
}

/** d and dmin of a panel of all rows by least squares of the outputs, one after the other. */
function fit_scales(rows: i32, panel: i32): void {
  for (let row: i32 = 0; row < rows; row++) {
    const value = row_at(values, row, panel);
    const step = steps + <usize>row * PANEL_BYTES;
    for (let from: i32 = 0; from < PANEL; from += block) {
      const factor = f32x4.splat(scale_of(1, load<i32>(integers_at(row, panel + from))));
      for (let i = <usize>from << 2; i < <usize>(from + block) << 2; i += 16) {
        v128.store(step + i, f32x4.mul(factor, v128.load(value + i)));
      }
    }
  }
  fit_steps(rows, panel, 0);
  if (highest_minimum == 0) return;
  for (let row: i32 = 0; row < rows; row++) {
    const step = steps + <usize>row * PANEL_BYTES;
    for (let from: i32 = 0; from < PANEL; from += block) {
      const factor = f32x4.splat(-<f32>load<i32>(integers_at(row, panel + from), 4));
      for (let i = <usize>from << 2; i < <usize>(from + block) << 2; i += 16) v128.store(step + i, factor);
    }
  }
  fit_steps(rows, panel, 4);
}

/** Fits the scale `offset` bytes behind d, of which the panel's weights have `steps`; updates errors and gradients. */
function fit_steps(rows: i32, panel: i32, offset: usize): void {
  const stride = <usize>columns << 4;
  const tiles = correlations + (<usize>panel >> 3) * stride + (<usize>panel << 4);
  const roots = deviations + (<usize>panel << 2);
  memory.fill(step_products, 0, <usize>rows * PANEL_BYTES);
  for (let row: i32 = 0; row < rows; row += 4) {
    const place = <usize>row * PANEL_BYTES;
    const factors = packed_steps + ROUNDED_BYTES;
    round_four(steps + place, PANEL_BYTES, panel, packed_steps);
    add_rounded_product(packed_steps, PANEL >> 1, tiles, stride, PANEL, factors, step_products + place, PANEL_BYTES);
  }
  for (let row: i32 = 0; row < rows; row++) multiply(step_products + <usize>row * PANEL_BYTES, roots, PANEL);
  for (let row: i32 = 0; row < rows; row++) {
    const place = <usize>row * PANEL_BYTES;
    const scale = scales_at(row, panel) + offset;
    const before = load<f32>(scale);
    const curvature = dot(steps + place, step_products + place, PANEL);
    const slope = dot(steps + place, panel_values + place, PANEL);
    if (before == 0 || !(curvature > 0)) continue;
    const fitted = f16_to_f32(f32_to_f16(before + slope / curvature));
    const ratio = fitted / before;
    if (fitted == before || !(ratio > 0.5 && ratio < 2)) continue;
    store<f32>(scale, fitted);
    add_scaled(row_at(errors, row, panel), steps + place, before - fitted, PANEL);
    add_scaled(panel_values + place, step_products + place, before - fitted, PANEL);
  }
}
