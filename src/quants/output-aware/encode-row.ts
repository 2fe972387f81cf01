/**
 * Encoding a row so that its output errors, not its weights' errors, are least: e H e^T for the error row e and the
 * inputs' second moments H. The diagonal encoder (`codec.ts`) gives a start; then
 *
 * 1. The target is inflated where inputs hardly ever go. Codes of least squared error shrink the weights; feedback
 *    makes up for that in the directions that calibration has seen, and only there. So the row to be encoded is
 *    W + (c - 1) mu W (H + mu)^-1, with c the shrink of least-squares codes. On other text than calibration's this
 *    is worth more than anything else here.
 * 2. Error feedback (`factor.ts`), block by block: three integer scales are tried by their real conditional cost.
 * 3. Coordinate descent, superblock after superblock: d is fitted to the outputs; each block tries the scales beside its
 *    own; each unit is chosen again, given all others, some times before the next superblock has its turn.
 */
import { decodeRows } from "../codec.js";
import { f16ToF32, f32ToF16 } from "../half.js";
import type { TypeName } from "../types.js";
import type { Factor } from "./factor.js";
import { type BlockFormat, type Scales, superblockWeights } from "./format.js";
import { formats } from "./formats.js";
import { inflationOf } from "./inflation.js";

export interface OutputAwareOptions {
  /** Passes of coordinate descent over a row. A third makes output errors 0.3 to 0.5 % smaller and takes a fifth more time. */
  readonly passes: number;
  /** How often the units of a superblock are chosen again in a pass: the second time is worth half a pass more. */
  readonly sweeps: number;
  /** The pass, from 0, in which blocks try other scales: in the second, the codes have settled at those of the start. */
  readonly scalePass: number;
  /** Most that the target is inflated by. */
  readonly inflation: number;
}

export const defaultOptions: OutputAwareOptions = { passes: 2, sweeps: 2, scalePass: 1, inflation: 0.12 };

/** Encodes rows of one type and input. */
export class OutputAwareEncoder {
  readonly #format: BlockFormat;
  readonly #n: number;
  readonly #superblocks: Scales[];
  readonly #start: Float32Array;
  /** The inflated row. */
  readonly #target: Float64Array;
  /** Target of the next units: with feedback of all errors so far. */
  readonly #fed: Float64Array;
  /** target - encoded. */
  readonly #error: Float64Array;
  /** error x H. */
  readonly #gradient: Float64Array;
  readonly #values: Float64Array;
  /** The best of a block so far, and the one being tried. */
  readonly #best: Float64Array;
  readonly #bestError: Float64Array;
  readonly #trial: Float64Array;
  readonly #trialError: Float64Array;
  readonly #trialTarget: Float64Array;
  readonly #trialGradient: Float64Array;
  readonly #others: Float64Array;
  readonly #weights: Float64Array;

  readonly #type: TypeName;
  readonly #factor: Factor;
  readonly #options: OutputAwareOptions;

  constructor(type: TypeName, factor: Factor, options: OutputAwareOptions = defaultOptions) {
    this.#type = type;
    this.#factor = factor;
    this.#options = options;
    const format = formats[type];
    if (format === undefined) {
      throw new RangeError(`${type} has no output-aware encoder`);
    }
    this.#format = format;
    const n = factor.columns;
    this.#n = n;
    const blocks = superblockWeights / format.block;
    this.#superblocks = Array.from({ length: n / superblockWeights }, () => ({
      d: 0,
      dmin: 0,
      scales: new Int32Array(blocks),
      minima: new Int32Array(blocks),
    }));
    this.#start = new Float32Array(n);
    this.#target = new Float64Array(n);
    this.#fed = new Float64Array(n);
    this.#error = new Float64Array(n);
    this.#gradient = new Float64Array(n);
    this.#values = new Float64Array(n);
    this.#best = new Float64Array(format.block);
    this.#bestError = new Float64Array(format.block);
    this.#trial = new Float64Array(format.block);
    this.#trialError = new Float64Array(format.block);
    this.#trialTarget = new Float64Array(format.block);
    this.#trialGradient = new Float64Array(format.block);
    this.#others = new Float64Array(format.block);
    this.#weights = new Float64Array(format.unit);
  }

  /** Encodes rows, one after another; `out` holds the diagonal encoder's results and gets the better ones. */
  encodeRows(rows: Float32Array, out: Uint8Array): void {
    const n = this.#n;
    const stride = (n / superblockWeights) * this.#format.bytes;
    for (let row = 0; row < rows.length / n; row++) {
      this.encodeRow(rows.subarray(row * n, (row + 1) * n), out.subarray(row * stride, (row + 1) * stride));
    }
  }

  /** Encodes a row; `out` holds the diagonal encoder's result and gets the better one. */
  encodeRow(row: Float32Array, out: Uint8Array): void {
    const format = this.#format;
    const superblocks = this.#superblocks;
    decodeRows(this.#type, out, this.#start);
    for (const [k, scales] of superblocks.entries()) {
      format.read(out, k * format.bytes, scales);
    }
    this.#inflate(row);
    this.#feedForward();
    for (let pass = 0; pass < this.#options.passes; pass++) {
      this.#descend(pass === this.#options.scalePass);
    }
    for (const [k, scales] of superblocks.entries()) {
      format.write(scales, this.#values, k * superblockWeights, out, k * format.bytes);
    }
  }

  /** e H e^T of what was encoded last, for the inflated row. */
  cost(): number {
    this.#computeGradient();
    let sum = 0;
    for (let i = 0; i < this.#n; i++) {
      sum += this.#error[i]! * this.#gradient[i]!;
    }
    return sum;
  }

  /** Step 1. c is <W,W> / <W,Q> for the codes of `start` at their least-squares scale. */
  #inflate(row: Float32Array): void {
    const n = this.#n;
    const target = this.#target;
    const start = this.#start;
    const factor = this.#factor;
    const diagonal = Float32Array.from({ length: n }, (_, i) => factor.moments[i * n + i]!);
    const inflation = inflationOf(row, start, diagonal, this.#options.inflation);
    for (let i = 0; i < n; i++) {
      let faint = 0;
      for (let j = 0; j < n; j++) {
        faint += factor.faint[i * n + j]! * row[j]!;
      }
      target[i] = row[i]! + inflation * faint;
    }
  }

  /** Step 2. */
  #feedForward(): void {
    const format = this.#format;
    const n = this.#n;
    const fed = this.#fed;
    const target = this.#target;
    const error = this.#error;
    const factor = this.#factor;
    fed.set(target);
    for (let from = 0; from < n; from += format.block) {
      const { scales, at } = this.#scalesOf(from);
      let least = Infinity;
      let best = [scales.scales[at]!, scales.minima[at]!] as const;
      for (const [s, m] of this.#candidates(best)) {
        const cost = this.#tryForward(from, scales.d * format.multiple(s), scales.dmin * m, m);
        if (cost >= least) {
          continue;
        }
        least = cost;
        best = [s, m];
        this.#keepTrial();
      }
      [scales.scales[at], scales.minima[at]] = best;
      this.#takeBest(from);
      for (let i = from; i < from + format.block; i++) {
        const e = error[i]!;
        // Within the block, the later units have to wait for `fed` too: it held the block's targets until now.
        for (let j = from + format.block; j < n; j++) {
          fed[j]! += e * factor.feedback[i * n + j]!;
        }
      }
    }
  }

  /** Integer scale and minimum of a block, and those beside them. */
  #candidates([s, m]: readonly [number, number]): (readonly [number, number])[] {
    const { lowest, highest, highestMinimum } = this.#format;
    const beside = [
      [s, m],
      [s - 1, m],
      [s + 1, m],
      [s, m - 1],
      [s, m + 1],
    ] as const;
    return beside.filter(([s, m]) => s >= lowest && s <= highest && m >= 0 && m <= highestMinimum);
  }

  /** Encodes a block with a scale, unit after unit; returns its conditional cost. */
  #tryForward(from: number, scale: number, offset: number, minimum: number): number {
    const format = this.#format;
    const n = this.#n;
    const fed = this.#fed;
    const target = this.#target;
    const factor = this.#factor;
    const trial = this.#trial;
    const trialError = this.#trialError;
    const trialTarget = this.#trialTarget;
    const weights = this.#weights;
    const { unit, block } = format;
    let cost = 0;
    for (let i = 0; i < block; i++) {
      trialTarget[i] = fed[from + i]! + offset;
    }
    for (let at = 0; at < block; at += unit) {
      for (let i = 0; i < unit; i++) {
        weights[i] = factor.conditional[(from + at + i) * unit + i]!;
      }
      format.choose(trialTarget, weights, at, scale, trial, minimum);
      for (let i = at; i < at + unit; i++) {
        let row = 0;
        for (let j = at; j < at + unit; j++) {
          row += factor.conditional[(from + i) * unit + j - at]! * (trialTarget[j]! - scale * trial[j]!);
        }
        cost += row * (trialTarget[i]! - scale * trial[i]!);
        trialError[i] = target[from + i]! - scale * trial[i]! + offset;
        for (let j = at + unit; j < block; j++) {
          trialTarget[j]! += trialError[i]! * factor.feedback[(from + i) * n + from + j]!;
        }
      }
    }
    return cost;
  }

  /** Step 3, one pass. */
  #descend(triesScales: boolean): void {
    this.#computeGradient();
    for (const [k, scales] of this.#superblocks.entries()) {
      this.#fitScales(k * superblockWeights, scales);
      for (let sweep = 0; sweep < this.#options.sweeps; sweep++) {
        this.#sweep(k * superblockWeights, scales, triesScales && sweep === 0);
      }
    }
  }

  /** Chooses the units of a superblock again. */
  #sweep(start: number, { d, dmin, scales, minima }: Scales, triesScales: boolean): void {
    const format = this.#format;
    for (let at = 0; at < scales.length; at++) {
      const from = start + at * format.block;
      this.#readOthers(from);
      this.#best.set(this.#values.subarray(from, from + format.block));
      this.#bestError.set(this.#error.subarray(from, from + format.block));
      const chosen = [scales[at]!, minima[at]!] as const;
      let best = chosen;
      let least = Infinity;
      for (const [s, m] of triesScales ? this.#candidates(chosen) : [chosen]) {
        const same = s === chosen[0] && m === chosen[1];
        const cost = this.#tryAgain(from, d * format.multiple(s), dmin * m, m, same);
        if (cost >= least) {
          continue;
        }
        least = cost;
        best = [s, m];
        this.#keepTrial();
      }
      [scales[at], minima[at]] = best;
      this.#moveTo(from);
    }
  }

  /** What errors elsewhere contribute to the gradient of a block. */
  #readOthers(from: number): void {
    const format = this.#format;
    const n = this.#n;
    const gradient = this.#gradient;
    const error = this.#error;
    const factor = this.#factor;
    const others = this.#others;
    for (let i = 0; i < format.block; i++) {
      let own = 0;
      for (let j = 0; j < format.block; j++) {
        own += error[from + j]! * factor.moments[(from + j) * n + from + i]!;
      }
      others[i] = gradient[from + i]! - own;
    }
  }

  /**
   * Chooses the units of a block again with a scale, each given all others as they are now; a unit that would
   * become worse stays if it can (`sameScale`). Returns the block's part of the cost.
   */
  #tryAgain(from: number, scale: number, offset: number, minimum: number, sameScale: boolean): number {
    const format = this.#format;
    const n = this.#n;
    const target = this.#target;
    const factor = this.#factor;
    const trial = this.#trial;
    const trialError = this.#trialError;
    const trialTarget = this.#trialTarget;
    const trialGradient = this.#trialGradient;
    const weights = this.#weights;
    const { unit, block } = format;
    const { moments, inverses } = factor;
    trial.set(this.#values.subarray(from, from + block));
    trialError.set(this.#error.subarray(from, from + block));
    for (let i = 0; i < block; i++) {
      let sum = this.#others[i]!;
      for (let j = 0; j < block; j++) {
        sum += trialError[j]! * moments[(from + j) * n + from + i]!;
      }
      trialGradient[i] = sum;
    }
    for (let at = 0; at < block; at += unit) {
      const old = trial.slice(at, at + unit);
      const oldError = trialError.slice(at, at + unit);
      // Gradient without the unit's own errors.
      const rest = new Float64Array(unit);
      for (let i = 0; i < unit; i++) {
        let own = 0;
        for (let j = 0; j < unit; j++) {
          own += oldError[j]! * moments[(from + at + j) * n + from + at + i]!;
        }
        rest[i] = trialGradient[at + i]! - own;
      }
      for (let i = 0; i < unit; i++) {
        let step = 0;
        for (let j = 0; j < unit; j++) {
          step += inverses[(from + at + i) * unit + j]! * rest[j]!;
        }
        trialTarget[at + i] = target[from + at + i]! + offset + step;
        weights[i] = moments[(from + at + i) * n + from + at + i]!;
      }
      format.choose(trialTarget, weights, at, scale, trial, minimum);
      for (let i = at; i < at + unit; i++) {
        trialError[i] = target[from + i]! + offset - scale * trial[i]!;
      }
      if (sameScale) {
        const change =
          this.#unitCost(from, at, trialError.subarray(at, at + unit), rest) -
          this.#unitCost(from, at, oldError, rest);
        if (change >= 0) {
          trial.set(old, at);
          trialError.set(oldError, at);
          continue;
        }
      }
      for (let i = 0; i < unit; i++) {
        const change = trialError[at + i]! - oldError[i]!;
        if (change === 0) {
          continue;
        }
        for (let j = 0; j < block; j++) {
          trialGradient[j]! += change * moments[(from + at + i) * n + from + j]!;
        }
      }
    }
    let cost = 0;
    for (let i = 0; i < block; i++) {
      cost += trialError[i]! * (trialGradient[i]! + this.#others[i]!);
    }
    return cost;
  }

  /** e H_uu e^T + 2 e rest. */
  #unitCost(from: number, at: number, e: Float64Array, rest: Float64Array): number {
    const n = this.#n;
    const factor = this.#factor;
    let cost = 0;
    for (let i = 0; i < e.length; i++) {
      let row = 2 * rest[i]!;
      for (let j = 0; j < e.length; j++) {
        row += e[j]! * factor.moments[(from + at + i) * n + from + at + j]!;
      }
      cost += e[i]! * row;
    }
    return cost;
  }

  /** Takes the best trial of a block and updates the gradient. */
  #moveTo(from: number): void {
    const format = this.#format;
    const n = this.#n;
    const error = this.#error;
    const gradient = this.#gradient;
    const factor = this.#factor;
    const bestError = this.#bestError;
    for (let i = 0; i < format.block; i++) {
      const change = bestError[i]! - error[from + i]!;
      if (change === 0) {
        continue;
      }
      const row = (from + i) * n;
      for (let j = 0; j < n; j++) {
        gradient[j]! += change * factor.moments[row + j]!;
      }
    }
    this.#takeBest(from);
  }

  /** d and dmin of a superblock by least squares of the outputs, one after the other. */
  #fitScales(from: number, scales: Scales): void {
    const format = this.#format;
    const values = this.#values;
    if (format.isScaleFixed) {
      return;
    }
    const step = new Float64Array(superblockWeights);
    const block = (i: number) => Math.floor(i / format.block);
    for (let i = 0; i < superblockWeights; i++) {
      step[i] = format.multiple(scales.scales[block(i)]!) * values[from + i]!;
    }
    scales.d = this.#fitScale(from, step, scales.d);
    if (format.highestMinimum === 0) {
      return;
    }
    for (let i = 0; i < superblockWeights; i++) {
      step[i] = -scales.minima[block(i)]!;
    }
    scales.dmin = this.#fitScale(from, step, scales.dmin);
  }

  /** The best F16 for a superblock's `scale`, of which its weights have `step`. */
  #fitScale(from: number, step: Float64Array, scale: number): number {
    const n = this.#n;
    const error = this.#error;
    const gradient = this.#gradient;
    const factor = this.#factor;
    let [slope, curvature] = [0, 0];
    for (let i = 0; i < superblockWeights; i++) {
      let row = 0;
      for (let j = 0; j < superblockWeights; j++) {
        row += step[j]! * factor.moments[(from + i) * n + from + j]!;
      }
      curvature += step[i]! * row;
      slope += step[i]! * gradient[from + i]!;
    }
    if (scale === 0 || curvature === 0) {
      return scale;
    }
    const fitted = f16ToF32(f32ToF16(scale + slope / curvature));
    // Sign and order of magnitude stay: a superblock that is all but random must not collapse.
    if (fitted === scale || !(fitted / scale > 0.5 && fitted / scale < 2)) {
      return scale;
    }
    for (let i = 0; i < superblockWeights; i++) {
      const change = (scale - fitted) * step[i]!;
      error[from + i]! += change;
      for (let j = 0; j < n; j++) {
        gradient[j]! += change * factor.moments[(from + i) * n + j]!;
      }
    }
    return fitted;
  }

  #computeGradient(): void {
    const n = this.#n;
    const error = this.#error;
    const gradient = this.#gradient;
    const factor = this.#factor;
    gradient.fill(0);
    for (let i = 0; i < n; i++) {
      const e = error[i]!;
      for (let j = 0; j < n; j++) {
        gradient[j]! += e * factor.moments[i * n + j]!;
      }
    }
  }

  #keepTrial(): void {
    this.#best.set(this.#trial);
    this.#bestError.set(this.#trialError);
  }

  #takeBest(from: number): void {
    this.#values.set(this.#best, from);
    this.#error.set(this.#bestError, from);
  }

  #scalesOf(column: number): { scales: Scales; at: number } {
    const scales = this.#superblocks[Math.floor(column / superblockWeights)]!;
    return { scales, at: (column % superblockWeights) / this.#format.block };
  }
}
