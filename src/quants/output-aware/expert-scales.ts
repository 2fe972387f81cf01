/**
 * Factors for the rows of an expert's gate and up that make what is left of the residual stream's error smallest. The
 * error of a token is the source's stream minus ours; what it changes by is, for neuron i with factors 1 + g_i and
 * 1 + u_i, weight x (W_down)_i x (up_i silu'(gate_i) gate_i g_i + silu(gate_i) up_i u_i): linear in the factors, so that
 * a ridge regression gives them. No gradients of later layers, no second pass.
 *
 * Sums are in float32 in the order of the tokens, so every bit depends on the layer's tokens alone.
 */
import { decodeRows } from "../codec.js";
import { rowBytes } from "../types.js";
import { batchRows, GramSums, placesOf } from "./gram-sums.js";
import { Products, packedRows, productColumns } from "./products.js";
import { RidgeSolver } from "./ridge.js";
import { putTiles, type StoredMatrix } from "./stored-matrix.js";

/** The tokens of a layer, as our model computes them. */
export interface LayerTokens {
  /** Length of a vector. */
  readonly columns: number;
  /** What enters the experts, token after token. */
  readonly inputs: Float32Array;
  /** Error of the stream that leaves the layer, each token's multiplied by its factor. */
  readonly residual: Float32Array;
  /** What the error of each token is multiplied by: one over the stream's root mean square. */
  readonly factors: Float32Array;
  /** Experts that a token is sent to. */
  readonly slots: number;
  /** Token after token, what the output of each of its experts is multiplied by. */
  readonly weights: Float32Array;
}

/** An expert as our model stores it. */
export interface StoredExpert {
  /** Neurons: rows of gate and up, columns of down; a multiple of 8. */
  readonly width: number;
  readonly gate: Pick<StoredMatrix, "type" | "bytes">;
  readonly up: Pick<StoredMatrix, "type" | "bytes">;
  readonly down: Pick<StoredMatrix, "type" | "bytes">;
}

/** What to multiply the rows of an expert by. */
export interface RowFactors {
  readonly gate: Float32Array;
  readonly up: Float32Array;
}

/** Part of the features' squares that is added to them. */
const leastRidge = 0.1;

/** Added for each feature per token: few tokens know little. */
const ridgePerFeature = 3;

/** How far a factor may be from 1. */
export const largestChange = 0.05;

/** Neurons that are fitted together: the matrix of their features takes 9 MB, whatever the expert's width. */
const neuronsTogether = 768;

/** Tokens of an expert whose features are kept from the fit to the residual: 50 MB; those of others are computed twice. */
const tokensKept = 8192;

/** Bytes of memory that fitting an expert of so many neurons takes, at most, however many tokens it has. */
export function fitBytesOf({ width, columns }: { readonly width: number; readonly columns: number }): number {
  const count = blockSizeOf(width);
  const floats = (blockPlaces(count, columns).at(-1) ?? 0) + 2 * count * tokensKept + 2 * (2 * count) ** 2;
  return Float32Array.BYTES_PER_ELEMENT * floats;
}

/** Neurons of each block of an expert, but for the last. */
function blockSizeOf(width: number): number {
  const blocks = Math.ceil(width / neuronsTogether);
  return Math.ceil(width / blocks / productColumns) * productColumns;
}

/** Fits experts. Not for use by two threads at once. */
export class ExpertScales {
  readonly #products: Products;
  readonly #solver: RidgeSolver;

  /** Without a module it takes long. */
  constructor(module: WebAssembly.Module | undefined) {
    this.#products = new Products(module);
    this.#solver = new RidgeSolver(module);
  }

  /**
   * Fits one expert, and takes what that changes from the residual.
   * @param places of the expert's tokens: those in `weights`
   */
  fit(layer: LayerTokens, expert: StoredExpert, places: Uint32Array): RowFactors {
    const { width } = expert;
    const fitted = { gate: new Float32Array(width).fill(1), up: new Float32Array(width).fill(1) };
    if (places.length === 0) {
      return fitted;
    }
    const size = blockSizeOf(width);
    for (let first = 0; first < width; first += size) {
      const count = Math.min(size, width - first);
      const changes = new NeuronBlock(this.#products, layer, expert, { first, count }).fit(
        places,
        this.#solver,
      );
      for (let i = 0; i < count; i++) {
        fitted.gate[first + i]! += changes[i]!;
        fitted.up[first + i]! += changes[count + i]!;
      }
    }
    return fitted;
  }
}

/** What a block of neurons has in the memory of products. */
function blockPlaces(count: number, d: number): readonly number[] {
  const features = 2 * count;
  return placesOf(
    features * features,
    features * batchRows,
    packedRows * batchRows,
    features * d,
    count * d,
    count * d,
    count * d,
    count * count,
    batchRows * d,
    batchRows * d,
    Math.max(batchRows, count) * Math.max(d, count),
    batchRows * features,
    batchRows * count,
  );
}

/** Some neurons of an expert, with all that their fit needs in the memory of products. */
class NeuronBlock {
  readonly #products: Products;
  readonly #layer: LayerTokens;
  readonly #count: number;
  readonly #places: readonly number[];
  readonly #gram: GramSums;

  constructor(
    products: Products,
    layer: LayerTokens,
    { width, gate, up, down }: StoredExpert,
    { first, count }: { readonly first: number; readonly count: number },
  ) {
    const d = layer.columns;
    this.#products = products;
    this.#layer = layer;
    this.#count = count;
    this.#places = blockPlaces(count, d);
    this.#gram = new GramSums(products, 2 * count, this.#places);
    const { values } = products;
    const [, , , tiles = 0] = this.#places;
    for (const [i, { type, bytes }] of [gate, up].entries()) {
      const stride = rowBytes(type, d);
      const rows = bytes.subarray(first * stride, (first + count) * stride);
      putTiles(values, tiles + i * count * d, { type, bytes: rows }, count, d);
    }
    this.#putDown(down, width, first);
  }

  /** Changes of the factors of gate, then of up. */
  fit(places: Uint32Array, solver: RidgeSolver): Float32Array {
    const count = this.#count;
    const size = 2 * count;
    const kept = Math.min(places.length, tokensKept);
    // The last batch of it is for the tokens whose features are not kept.
    const features = new Float32Array((kept + (places.length > kept ? batchRows : 0)) * size);
    const featuresAt = (first: number) => features.subarray(Math.min(first, kept) * size);
    const right = new Float64Array(size);
    for (let first = 0; first < places.length; first += batchRows) {
      const batch = places.subarray(first, first + batchRows);
      this.#computeFeatures(batch, featuresAt(first));
      this.#addBatch(batch, featuresAt(first), right);
    }
    const matrix = this.#gram.finish();
    const products = this.#downProducts();
    for (let i = 0; i < size; i++) {
      for (let j = i; j < size; j++) {
        matrix[i * size + j]! *= products[(i % count) * count + (j % count)]!;
      }
    }
    const ridge = leastRidge + (ridgePerFeature * size) / places.length;
    const bounded = (value: number) => Math.max(-largestChange, Math.min(largestChange, value));
    const changes = Float32Array.from(solver.solve(matrix, right, ridge), bounded);
    for (let first = 0; first < places.length; first += batchRows) {
      const batch = places.subarray(first, first + batchRows);
      if (first >= kept) {
        this.#computeFeatures(batch, featuresAt(first));
      }
      this.#takeAway(batch, featuresAt(first), changes);
    }
    return changes;
  }

  /** Puts the block's columns of down into tiles, for products from both sides, and as rows. */
  #putDown({ type, bytes }: StoredExpert["down"], width: number, first: number): void {
    const d = this.#layer.columns;
    const count = this.#count;
    const { values } = this.#products;
    const [, , , , columns = 0, transposed = 0, rows = 0] = this.#places;
    const stride = rowBytes(type, width);
    const row = new Float32Array(width);
    for (let r = 0; r < d; r++) {
      decodeRows(type, bytes.subarray(r * stride, (r + 1) * stride), row);
      for (let j = 0; j < count; j++) {
        const value = row[first + j]!;
        values[columns + (j - (j % productColumns)) * d + productColumns * r + (j % productColumns)] = value;
        values[transposed + (r - (r % productColumns)) * count + productColumns * j + (r % productColumns)] =
          value;
        values[rows + j * d + r] = value;
      }
    }
  }

  /** Of the block's columns of down with one another. */
  #downProducts(): Float32Array {
    const count = this.#count;
    const { values } = this.#products;
    const [, , , , columns = 0, , rows = 0, out = 0, , , packed = 0] = this.#places;
    values.fill(0, out, out + count * count);
    const d = this.#layer.columns;
    this.#products.addRows({ rows, rowCount: count, count: d, packed, tiles: columns, columns: count, out });
    return values.slice(out, out + count * count);
  }

  /** Puts the vectors of some tokens into rows, zeros into the rest of a whole batch. */
  #putTokens(batch: Uint32Array, vectors: Float32Array, rows: number): void {
    const { columns: d, slots } = this.#layer;
    const { values } = this.#products;
    values.fill(0, rows, rows + batchRows * d);
    for (const [i, place] of batch.entries()) {
      const token = Math.floor(place / slots);
      values.set(vectors.subarray(token * d, (token + 1) * d), rows + i * d);
    }
  }

  /** What the output of some tokens changes by with the factors of gate, then of up. */
  #computeFeatures(batch: Uint32Array, features: Float32Array): void {
    const { columns: d, inputs, factors, weights, slots } = this.#layer;
    const count = this.#count;
    const size = 2 * count;
    const { values } = this.#products;
    const [, , , tiles = 0, , , , , rows = 0, , packed = 0, hidden = 0] = this.#places;
    this.#putTokens(batch, inputs, rows);
    values.fill(0, hidden, hidden + batchRows * size);
    const rowCount = batch.length;
    this.#products.addRows({ rows, rowCount, count: d, packed, tiles, columns: size, out: hidden });
    for (const [row, place] of batch.entries()) {
      const factor = factors[Math.floor(place / slots)]! * weights[place]!;
      const at = row * size;
      for (let i = 0; i < count; i++) {
        const [gate, up] = [values[hidden + at + i]!, values[hidden + at + count + i]!];
        const sigmoid = 1 / (1 + Math.exp(-gate));
        const change = factor * gate * sigmoid * up;
        features[at + i] = change * (1 + gate * (1 - sigmoid));
        features[at + count + i] = change;
      }
    }
  }

  /** Adds the features of some tokens to the sums. */
  #addBatch(batch: Uint32Array, features: Float32Array, right: Float64Array): void {
    const { columns: d, residual } = this.#layer;
    const count = this.#count;
    const { values } = this.#products;
    const [, , , , tiles = 0, , , , , errors = 0, packed = 0, , seen = 0] = this.#places;
    this.#putTokens(batch, residual, errors);
    values.fill(0, seen, seen + batchRows * count);
    const rowCount = batch.length;
    this.#products.addRows({ rows: errors, rowCount, count: d, packed, tiles, columns: count, out: seen });
    for (let row = 0; row < batch.length; row++) {
      const at = 2 * row * count;
      for (let i = 0; i < count; i++) {
        const error = values[seen + row * count + i]!;
        right[i]! += features[at + i]! * error;
        right[count + i]! += features[at + count + i]! * error;
      }
      this.#gram.add(features, at, 1);
    }
  }

  /** Takes from the residual what the changes make of some tokens. */
  #takeAway(batch: Uint32Array, features: Float32Array, changes: Float32Array): void {
    const { columns: d, residual, slots } = this.#layer;
    const count = this.#count;
    const { values } = this.#products;
    const [, , , , , tiles = 0, , , out = 0, , packed = 0, , rows = 0] = this.#places;
    values.fill(0, out, out + batchRows * d);
    values.fill(0, rows, rows + batchRows * count);
    for (let row = 0; row < batch.length; row++) {
      const at = 2 * row * count;
      for (let i = 0; i < count; i++) {
        values[rows + row * count + i] =
          features[at + i]! * changes[i]! + features[at + count + i]! * changes[count + i]!;
      }
    }
    this.#products.addRows({ rows, rowCount: batch.length, count, packed, tiles, columns: d, out });
    for (const [row, place] of batch.entries()) {
      const at = Math.floor(place / slots) * d;
      for (let k = 0; k < d; k++) {
        residual[at + k]! -= values[out + row * d + k]!;
      }
    }
  }
}
