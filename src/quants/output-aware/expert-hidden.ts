/**
 * What enters an expert's down matrix, computed of the vectors that were kept of its tokens by its gate and up, in whole
 * numbers: codes are such already, and each row of gate and up is rounded to 16 bits with a factor of its own, when it has
 * been multiplied by the scales of the channels.
 */
import { decodeRows } from "../codec.js";
import { type ActivationName, expertFunctions, hasGate } from "./expert-activation.js";
import { type KeptRows, packKeptCodes } from "./kept-rows.js";
import { columnsTogether, packedRows, productColumns } from "./products.js";
import { largestWhole, type RoundedProducts } from "./rounded-products.js";
import type { StoredMatrix } from "./stored-matrix.js";

/** What computes the input of an expert's down matrix. */
export interface ExpertWeights {
  /** Of its contents. */
  readonly sha256: string;
  /** Rows of each: the width of the expert. */
  readonly width: number;
  /** Experts without one have a function of up alone. */
  readonly gate: StoredMatrix | undefined;
  readonly up: StoredMatrix;
  readonly activation: ActivationName;
}

/** Tokens that are computed at a time. */
const batchTokens = 128;

/** Computes the inputs of one expert's down matrix, token after token. */
export class ExpertHidden {
  /** Sum of the squares of all that was computed. */
  energy = 0;
  readonly #products: RoundedProducts;
  readonly #columns: number;
  readonly #weights: ExpertWeights;
  readonly #matrices: readonly StoredMatrix[];
  readonly #outputs: number;
  readonly #places: HiddenPlaces;
  readonly #next: () => Float32Array;
  #part: KeptRows | undefined;
  readonly #factors: number[] = [];

  /** Bytes of each part of the memory for tokens of so many columns. */
  static sizes(columns: number, weights: ExpertWeights): { readonly [part in keyof HiddenPlaces]: number } {
    const outputs = matricesOf(weights).length * weights.width;
    return {
      matrix: 2 * outputs * columns,
      matrixFactors: 4 * outputs,
      codes: 2 * columns * batchTokens,
      rowFactors: 4 * batchTokens,
      outputs: 4 * outputs * batchTokens,
    };
  }

  /**
   * @param places of the parts, in memory that is reserved
   * @param next where a vector of the expert's width is to be written
   */
  constructor(
    products: RoundedProducts,
    columns: number,
    weights: ExpertWeights,
    places: HiddenPlaces,
    next: () => Float32Array,
  ) {
    this.#products = products;
    this.#columns = columns;
    this.#weights = weights;
    this.#matrices = matricesOf(weights);
    this.#outputs = this.#matrices.length * weights.width;
    this.#places = places;
    this.#next = next;
  }

  /** Takes a token; what it comes to, times a factor, is written with others'. */
  add(part: KeptRows, token: number, factor: number): void {
    if (part !== this.#part) {
      this.finish();
      this.#part = part;
      this.#roundMatrices(part.channels);
    }
    const at = this.#factors.length;
    const quad = at - (at % packedRows);
    const codes = this.#products.wholes(this.#places.codes, this.#columns * batchTokens);
    packKeptCodes(part, token, codes, quad * this.#columns + 2 * (at - quad));
    this.#products.floats(this.#places.rowFactors, batchTokens)[at] = part.scales[token]!;
    this.#factors.push(factor);
    if (this.#factors.length === batchTokens) {
      this.finish();
    }
  }

  /** Writes what is left. */
  finish(): void {
    const count = this.#factors.length;
    if (count === 0) {
      return;
    }
    const outputs = this.#products.floats(this.#places.outputs, this.#outputs * batchTokens);
    this.#multiply(outputs, count);
    const { width, activation } = this.#weights;
    const function_ = expertFunctions[activation];
    const gated = hasGate(activation);
    for (const [row, factor] of this.#factors.entries()) {
      const at = row * this.#outputs;
      const out = this.#next();
      for (let i = 0; i < width; i++) {
        const value = gated
          ? function_(outputs[at + i]!, outputs[at + width + i]!)
          : function_(0, outputs[at + i]!);
        this.energy += value * value;
        out[i] = factor * value;
      }
    }
    this.#factors.length = 0;
  }

  /** The products of `count` tokens with gate and up, and their biases. */
  #multiply(outputs: Float32Array, count: number): void {
    const { matrix, matrixFactors, codes, rowFactors, outputs: out } = this.#places;
    const columns = this.#columns;
    const { width } = this.#weights;
    const quads = Math.ceil(count / packedRows);
    outputs.fill(0, 0, quads * packedRows * this.#outputs);
    for (const [i, { bias }] of this.#matrices.entries()) {
      for (let row = 0; bias && row < count; row++) {
        outputs.set(bias, row * this.#outputs + i * width);
      }
    }
    const rounded = this.#products.wholes(codes, columns * batchTokens);
    for (let row = count; row < quads * packedRows; row++) {
      const first = (row - (row % packedRows)) * columns + 2 * (row % packedRows);
      for (let i = 0; i < columns; i += 2) {
        rounded.fill(0, first + 4 * i, first + 4 * i + 2);
      }
    }
    for (let column = 0; column < this.#outputs; column += columnsTogether) {
      for (let quad = 0; quad < quads; quad++) {
        this.#products.add({
          packed: codes + 2 * quad * packedRows * columns,
          pairs: columns / 2,
          tiles: matrix + 2 * column * columns,
          tileStride: 2 * productColumns * columns,
          columns: Math.min(columnsTogether, this.#outputs - column),
          rowFactors: rowFactors + 4 * quad * packedRows,
          columnFactors: matrixFactors + 4 * column,
          out: out + 4 * (quad * packedRows * this.#outputs + column),
          outStride: 4 * this.#outputs,
        });
      }
    }
  }

  /** Rounds gate and up, times the scales of the channels, into tiles. */
  #roundMatrices(channels: Float32Array): void {
    const n = this.#columns;
    const { width } = this.#weights;
    const tiles = this.#products.wholes(this.#places.matrix, this.#outputs * n);
    const factors = this.#products.floats(this.#places.matrixFactors, this.#outputs);
    // By Cauchy and Schwarz no sum of products with codes, 127 at most, exceeds 2^31.
    const greatestLength = 0.99 * 2 ** 31;
    const row = new Float32Array(n);
    for (let output = 0; output < this.#outputs; output++) {
      const { type, bytes } = this.#matrices[Math.floor(output / width)]!;
      const stride = bytes.byteLength / width;
      const from = (output % width) * stride;
      decodeRows(type, bytes.subarray(from, from + stride), row);
      let [largest, square] = [0, 0];
      for (let i = 0; i < n; i++) {
        row[i]! *= channels[i]!;
        largest = Math.max(largest, Math.abs(row[i]!));
        square += row[i]! ** 2;
      }
      const factor = Math.max(largest / largestWhole, (127 * Math.sqrt(n * square)) / greatestLength);
      factors[output] = factor;
      const inverse = factor > 0 ? 1 / factor : 0;
      const at = (output - (output % productColumns)) * n + 2 * (output % productColumns);
      for (let i = 0; i < n; i++) {
        tiles[at + productColumns * (i - (i % 2)) + (i % 2)] = Math.round(row[i]! * inverse);
      }
    }
  }
}

/** Gate and up, or up alone. */
function matricesOf({ gate, up, activation }: ExpertWeights): readonly StoredMatrix[] {
  return hasGate(activation) && gate ? [gate, up] : [up];
}

/** Places of what computing needs. */
interface HiddenPlaces {
  /** Gate and up, rounded, and what their columns are multiplied by. */
  readonly matrix: number;
  readonly matrixFactors: number;
  /** The batch's codes, packed, and the scales of its rows. */
  readonly codes: number;
  readonly rowFactors: number;
  /** Products with gate and up, row after row. */
  readonly outputs: number;
}
