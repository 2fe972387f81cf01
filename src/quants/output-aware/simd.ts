/**
 * The SIMD version of the encoder: the same steps as `encode-row.ts`, on batches of rows, in WebAssembly memory of
 * its own that also holds the factor. How memory is laid out: `layout` below; `assembly/` has the code.
 */
import { Heap, layOut } from "../../wasm/heap.js";
import type { TypeName } from "../types.js";
import type { OutputAwareOptions } from "./encode-row.js";
import { type FactorRequest, type FactorViews, factorCounts, fillFactor } from "./factor-memory.js";
import { type BlockFormat, type Scales, superblockWeights } from "./format.js";
import { formats } from "./formats.js";
import { inflationOf } from "./inflation.js";

/** Rows in a batch, a multiple of four: a tile of the factor is read once for all of them. */
const batch = 32;

type Kernel = (...numbers: number[]) => void;

/** An instance of the module. Not for use by two threads at once. */
export class OutputAwareKernels {
  readonly #heap: Heap;
  readonly #exports: Record<string, Kernel>;
  #format: BlockFormat | undefined;
  #columns = 0;
  #views: Views | undefined;

  constructor(module: WebAssembly.Module) {
    this.#heap = new Heap(module);
    this.#exports = this.#heap.exports as unknown as Record<string, Kernel>;
  }

  /**
   * Makes the factor of some moments for a type. Throws a MalformedInputError if they are not positive semidefinite;
   * then nothing is prepared.
   */
  prepare(type: TypeName, request: Omit<FactorRequest, "unit">): void {
    const format = formats[type];
    if (format === undefined) {
      throw new RangeError(`${type} has no output-aware encoder`);
    }
    this.#views = undefined;
    const { columns } = request;
    const views = this.#arrange(columns, format);
    fillFactor(this.#heap, views, { ...request, unit: format.unit });
    this.#setFormat(format);
    this.#format = format;
    this.#columns = columns;
    this.#views = views;
  }

  /** What `prepare` made of the moments. */
  get factor(): FactorViews {
    return this.#prepared().views;
  }

  /**
   * Improves rows that the diagonal encoder has encoded, with the factor and format of `prepare`.
   * @param rows weights, row after row
   * @param start what `encoded` decodes to
   * @param encoded gets the better rows
   */
  encodeRows(
    rows: Float32Array,
    start: Float32Array,
    encoded: Uint8Array,
    options: OutputAwareOptions,
  ): void {
    const { views, format } = this.#prepared();
    const n = this.#columns;
    const stride = (n / superblockWeights) * format.bytes;
    const count = rows.length / n;
    for (let first = 0; first < count; first += batch) {
      const size = Math.min(batch, count - first);
      const padded = Math.ceil(size / 4) * 4;
      const out = encoded.subarray(first * stride, (first + size) * stride);
      const own = rows.subarray(first * n, (first + size) * n);
      this.#load(views, format, own, start.subarray(first * n), out, options);
      this.#exports.feed_forward?.(padded);
      for (let pass = 0; pass < options.passes; pass++) {
        this.#exports.descend?.(padded, options.sweeps, pass === options.scalePass ? 1 : 0);
      }
      this.#store(views, format, out);
    }
  }

  /** What the errors of rows do to their outputs, with the moments of `prepare`. */
  outputErrors(rows: Float32Array, decoded: Float32Array): { energy: number; error: number } {
    const { views } = this.#prepared();
    const n = this.#columns;
    const { errors, panelValues, momentDiagonal } = views;
    let [energy, error] = [0, 0];
    for (let first = 0; first < rows.length; first += batch * n) {
      const count = Math.min(batch * n, rows.length - first);
      errors.fill(0);
      for (let i = 0; i < count; i++) {
        const weight = rows[first + i] as number;
        errors[i] = weight - (decoded[first + i] as number);
        energy += (momentDiagonal[i % n] as number) * weight * weight;
      }
      this.#exports.round_errors?.(batch);
      for (let panel = 0; panel < n; panel += superblockWeights) {
        this.#exports.compute_gradients?.(batch, panel);
        for (let i = 0; i < panelValues.length; i++) {
          const row = Math.floor(i / superblockWeights);
          error += (errors[row * n + panel + (i % superblockWeights)] as number) * (panelValues[i] as number);
        }
      }
    }
    return { energy, error };
  }

  #prepared(): { readonly views: Views; readonly format: BlockFormat } {
    const [views, format] = [this.#views, this.#format];
    if (views === undefined || format === undefined) {
      throw new RangeError("nothing is prepared");
    }
    return { views, format };
  }

  #setFormat(format: BlockFormat): void {
    const { block, unit, lowest, highest, highestMinimum } = format;
    const multiples = Array.from({ length: highest - lowest + 1 }, (_, i) => format.multiple(lowest + i));
    this.#table("MULTIPLES", Float32Array.from(multiples));
    this.#exports.set_format?.(block, unit, lowest, highest, highestMinimum, format.isScaleFixed ? 1 : 0);
    const { choice } = format;
    if (choice.kind === "integers") {
      this.#exports.use_integers?.(choice.low, choice.high);
      return;
    }
    if (choice.kind === "four-bit floats") {
      this.#exports.use_floats?.();
      return;
    }
    const { grid } = choice;
    if (choice.kind === "shifted grid") {
      this.#table("MAGNITUDES", Float32Array.from(grid.levels));
      this.#table(
        "IS_POINT",
        Uint8Array.from(grid.pointOf, (point) => (point >= 0 ? 1 : 0)),
      );
      this.#exports.use_shifts?.(choice.shift, choice.blockShifts ? 1 : 0);
      return;
    }
    const factor =
      [1, 4].find((factor) => grid.levels.every((level) => Number.isInteger(factor * level))) ?? 8;
    this.#table(
      "POINTS",
      Uint8Array.from(grid.magnitudes, (magnitude) => factor * magnitude),
    );
    const count = grid.magnitudes.length / grid.group;
    this.#exports.use_points?.(grid.levels.length, grid.group, choice.evenSigns ? 1 : 0, count);
  }

  #table(name: string, values: Float32Array | Uint8Array): void {
    const address = (this.#exports[name] as unknown as { value: number }).value;
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    new Uint8Array(this.#heap.buffer).set(bytes, address);
  }

  #arrange(n: number, format: BlockFormat): Views {
    const counts = {
      ...factorCounts(n, format.unit),
      targets: batch * n,
      errors: batch * n,
      values: batch * n,
      scales: (2 * batch * n) / superblockWeights,
      integers: (2 * batch * n) / format.block,
      panelValues: batch * superblockWeights,
      packed: batch * n,
      steps: batch * superblockWeights,
      stepProducts: batch * superblockWeights,
      packedSteps: 4 * superblockWeights,
      roundedScales: 8,
    };
    const sizes = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, 4 * count]));
    const { places, bytes } = layOut(sizes);
    const buffer = this.#heap.reserve(bytes);
    const views = Object.fromEntries(
      Object.entries(counts).map(([name, count]) => [
        name,
        new Float32Array(buffer, this.#heap.base + (places[name] ?? 0), count),
      ]),
    ) as unknown as Views;
    const at = (name: keyof Views) => views[name].byteOffset;
    this.#exports.set_factor?.(
      n,
      at("feedback"),
      at("feedbackScales"),
      at("correlations"),
      at("deviations"),
      at("nearFeedback"),
      at("nearMoments"),
      at("conditional"),
      at("inverses"),
      at("conditionalDiagonal"),
      at("momentDiagonal"),
    );
    this.#exports.set_rows?.(
      at("targets"),
      at("errors"),
      at("values"),
      at("scales"),
      at("integers"),
      at("panelValues"),
      at("packed"),
      at("steps"),
      at("stepProducts"),
      at("packedSteps"),
    );
    return views;
  }

  /** Brings a batch into memory: inflated targets, and the scales of the start. */
  #load(
    views: Views,
    format: BlockFormat,
    rows: Float32Array,
    start: Float32Array,
    encoded: Uint8Array,
    options: OutputAwareOptions,
  ): void {
    const n = this.#columns;
    const count = rows.length / n;
    // Rows that fill up the batch are zeros, with no scale.
    views.targets.fill(0);
    views.targets.set(rows);
    views.errors.fill(0);
    views.scales.fill(0);
    views.integers.fill(0);
    this.#inflate(views, rows, start, options.inflation);
    const scales = emptyScales(format);
    const integers = new Int32Array(views.integers.buffer, views.integers.byteOffset, views.integers.length);
    const blocks = superblockWeights / format.block;
    for (let row = 0; row < count; row++) {
      for (let k = 0; k < n / superblockWeights; k++) {
        const index = (row * n) / superblockWeights + k;
        format.read(encoded, index * format.bytes, scales);
        views.scales[2 * index] = scales.d;
        views.scales[2 * index + 1] = scales.dmin;
        for (let block = 0; block < blocks; block++) {
          integers[2 * (index * blocks + block)] = scales.scales[block] as number;
          integers[2 * (index * blocks + block) + 1] = scales.minima[block] as number;
        }
      }
    }
  }

  /**
   * Adds to each target what inflates it (step 1 of `encode-row.ts`). That is a small part of a weight, so int16 is
   * precise enough. Sums of products cannot overflow: by Cauchy and Schwarz they are at most the length of the row,
   * 2^16.5, times that of a column of `faint`, 2^14, as none of its eigenvalues exceeds 1.
   */
  #inflate(views: Views, rows: Float32Array, start: Float32Array, most: number): void {
    const n = this.#columns;
    const exports = this.#exports;
    const { targets, packed, momentDiagonal, roundedScales } = views;
    for (let first = 0; first < rows.length / n; first += 4) {
      roundedScales.fill(0);
      for (let i = 0; i < 4 && (first + i + 1) * n <= rows.length; i++) {
        const [from, to] = [(first + i) * n, (first + i + 1) * n];
        const row = rows.subarray(from, to);
        const scale = roundingScale(row);
        const inflation = inflationOf(row, start.subarray(from, to), momentDiagonal, most);
        roundedScales[i] = scale;
        roundedScales[4 + i] = scale === 0 ? 0 : inflation / scale / roundedScale;
      }
      const at = targets.byteOffset + 4 * first * n;
      const scales = roundedScales.byteOffset;
      exports.pack_rounded?.(at, 4 * n, n, scales, packed.byteOffset);
      const faint = views.faint.byteOffset;
      exports.add_rounded_product?.(packed.byteOffset, n / 2, faint, 16 * n, n, scales + 16, at, 4 * n);
    }
  }

  #store(views: Views, format: BlockFormat, encoded: Uint8Array): void {
    const scales = emptyScales(format);
    const integers = new Int32Array(views.integers.buffer, views.integers.byteOffset, views.integers.length);
    const blocks = superblockWeights / format.block;
    for (let index = 0; index < encoded.length / format.bytes; index++) {
      scales.d = views.scales[2 * index] as number;
      scales.dmin = views.scales[2 * index + 1] as number;
      for (let block = 0; block < blocks; block++) {
        scales.scales[block] = integers[2 * (index * blocks + block)] as number;
        scales.minima[block] = integers[2 * (index * blocks + block) + 1] as number;
      }
      format.write(scales, views.values, index * superblockWeights, encoded, index * format.bytes);
    }
  }
}

/** Parts of the memory. */
interface Views extends FactorViews {
  readonly targets: Float32Array;
  readonly errors: Float32Array;
  readonly values: Float32Array;
  readonly scales: Float32Array;
  readonly integers: Float32Array;
  readonly panelValues: Float32Array;
  readonly packed: Float32Array;
  readonly steps: Float32Array;
  readonly stepProducts: Float32Array;
  readonly packedSteps: Float32Array;
  /** Of four rows: what they are multiplied by before they are rounded, and their products afterwards. */
  readonly roundedScales: Float32Array;
}

/** What `faint` and correlations are multiplied by before they are rounded. */
const roundedScale = 2 ** 14;

/** What to multiply a row by so that its values fit in 16 bits and its length is at most 2^16.5. */
function roundingScale(row: Float32Array): number {
  let [largest, square] = [0, 0];
  for (let i = 0; i < row.length; i++) {
    const value = row[i] as number;
    largest = Math.max(largest, Math.abs(value));
    square += value * value;
  }
  return largest === 0 ? 0 : Math.min(32767 / largest, 2 ** 16.5 / Math.sqrt(square));
}

function emptyScales({ block }: BlockFormat): Scales {
  const blocks = superblockWeights / block;
  return { d: 0, dmin: 0, scales: new Int32Array(blocks), minima: new Int32Array(blocks) };
}
