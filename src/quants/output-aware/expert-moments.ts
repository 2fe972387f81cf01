/**
 * Second moments of one expert's input, made when its turn comes of the vectors that were kept of the layer's tokens
 * (`kept-rows.ts`): those of its tokens, weighted by the square of what its output is multiplied by. What enters its
 * down matrix is computed of the same vectors by its gate and up.
 *
 * The order of additions, and so every bit, depends on the vectors alone.
 */
import { MalformedInputError } from "../../errors.js";
import { decodeRows } from "../codec.js";
import type { TypeName } from "../types.js";
import { type ActivationName, expertFunctions, hasGate } from "./expert-activation.js";
import { type KeptRows, readKeptRow } from "./kept-rows.js";
import { Products, packedRows, productColumns } from "./products.js";

/** All that was kept of a layer's input. */
export interface KeptLayer {
  /** Of its contents. */
  readonly sha256: string;
  readonly columns: number;
  /** Those of several texts one after the other. */
  readonly parts: readonly KeptRows[];
}

/** A matrix as the source stores it. */
export interface StoredMatrix {
  readonly type: TypeName;
  /** Row after row. */
  readonly bytes: Uint8Array;
  /** Added to its products, one for each row. */
  readonly bias?: Float32Array | undefined;
}

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

/** The input of one expert's gate and up, or of its down if its weights are there. */
export interface ExpertRows {
  /** What to call them in messages. */
  readonly name: string;
  readonly layer: KeptLayer;
  readonly expert: number;
  /** Tokens that it saw. */
  readonly vectors: number;
  readonly weights?: ExpertWeights | undefined;
}

/** Vectors that are handled at a time. */
const batchRows = 128;

/** Columns of a product that are computed at a time: with 2048 rows, the tiles take half a second-level cache. */
const columnsTogether = 64;

/** Tokens per column below which an expert's moments are mixed with those of all tokens of the layer. */
export const fewTokensPerColumn = 8;

/** Tokens per column that all tokens' moments are made of: more change nothing. */
const pooledTokensPerColumn = 8;

/** How far the input of a down matrix may be from what the model had, as a share of its sum of squares. */
const greatestDeviation = 0.25;

/** Makes moments. One for each thread; it keeps those of the latest layer's tokens. */
export class ExpertMoments {
  readonly #products: Products;
  #pool: { readonly sha256: string; readonly moments: Float32Array; readonly vectors: number } | undefined;

  constructor(module: WebAssembly.Module | undefined) {
    this.#products = new Products(module);
  }

  /** Key of what `of` returns. */
  static key({ layer, expert, weights }: ExpertRows): string {
    return `${layer.sha256} ${expert} ${weights?.sha256 ?? ""}`;
  }

  /**
   * The whole matrix, row after row. Throws a MalformedInputError if the computed input of a down matrix is not what
   * the model had.
   */
  of(rows: ExpertRows): Float32Array {
    if (rows.weights) {
      return this.#hidden(rows, rows.weights);
    }
    const { layer, vectors } = rows;
    const { columns } = layer;
    const own = this.#sumOf(layer, columns, (add) =>
      eachToken(rows, (part, token, weight) => add(part, token, weight)),
    );
    return vectors < fewTokensPerColumn * columns ? this.#mixed(own, vectors, layer) : own;
  }

  /**
   * Adds as many tokens' worth as there are columns of the moments of all tokens, scaled to the expert's own mean
   * squares: few tokens know the sizes of channels, but not how they go together. An expert that no token was sent to
   * gets those of all as they are.
   */
  #mixed(own: Float32Array, vectors: number, layer: KeptLayer): Float32Array {
    const { columns: n } = layer;
    const pool = this.#poolOf(layer);
    if (vectors === 0) {
      return pool.moments.slice();
    }
    const ratio = Float64Array.from({ length: n }, (_, i) => {
      const [mine, all] = [own[i * n + i]! / vectors, pool.moments[i * n + i]! / pool.vectors];
      return all > 0 ? Math.sqrt(mine / all) : 0;
    });
    const share = n / pool.vectors;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        own[i * n + j]! += share * ratio[i]! * ratio[j]! * pool.moments[i * n + j]!;
      }
    }
    return own;
  }

  /** Moments of tokens evenly spread over the layer's, each weighted as all its experts weight it. */
  #poolOf(layer: KeptLayer): { readonly moments: Float32Array; readonly vectors: number } {
    if (this.#pool?.sha256 === layer.sha256) {
      return this.#pool;
    }
    const tokens = layer.parts.reduce((sum, part) => sum + part.tokens, 0);
    const stride = Math.max(1, Math.floor(tokens / (pooledTokensPerColumn * layer.columns)));
    let vectors = 0;
    const moments = this.#sumOf(layer, layer.columns, (add) => {
      for (const part of layer.parts) {
        for (let token = 0; token < part.tokens; token += stride) {
          let square = 0;
          for (let slot = 0; slot < part.slots; slot++) {
            square += part.weights[token * part.slots + slot]! ** 2;
          }
          add(part, token, Math.sqrt(square));
          vectors++;
        }
      }
    });
    this.#pool = { sha256: layer.sha256, moments, vectors };
    return this.#pool;
  }

  /** The sum of x x^T over vectors that `visit` names. */
  #sumOf(
    layer: KeptLayer,
    n: number,
    visit: (add: (part: KeptRows, token: number, weight: number) => void) => void,
  ): Float32Array {
    const gram = new Gram(this.#products, n, layout(n * n, n * batchRows, packedRows * batchRows));
    const vector = new Float32Array(layer.columns);
    visit((part, token, weight) => {
      readKeptRow(part, token, weight, vector);
      gram.add(vector, 0, 1);
    });
    return gram.finish();
  }

  #hidden(rows: ExpertRows, weights: ExpertWeights): Float32Array {
    const { layer, expert } = rows;
    const { width, activation } = weights;
    const d = layer.columns;
    const gated = hasGate(activation);
    const outputs = gated ? 2 * width : width;
    const places = layout(
      width * width,
      width * batchRows,
      packedRows * batchRows,
      outputs * d,
      batchRows * d,
      batchRows * d,
      batchRows * outputs,
    );
    const [, , , tiles, vectors, packed, products] = places;
    const gram = new Gram(this.#products, width, places);
    const { values } = this.#products;
    const bias = new Float32Array(outputs);
    const matrices = gated ? [weights.gate, weights.up] : [weights.up];
    for (const [i, matrix] of matrices.entries()) {
      putTiles(values, tiles! + i * width * d, matrix, width, d);
      bias.set(matrix?.bias ?? new Float32Array(), i * width);
    }
    const act = expertFunctions[activation];
    const hidden = new Float32Array(width);
    const factors = new Float64Array(batchRows);
    let [filled, energy] = [0, 0];
    const flush = () => {
      values.fill(0, vectors! + filled * d, vectors! + batchRows * d);
      for (let row = 0; row < batchRows; row++) {
        values.set(bias, products! + row * outputs);
      }
      const quads = Math.ceil(filled / packedRows);
      for (let quad = 0; quad < quads; quad++) {
        const first = quad * packedRows * d;
        this.#products.pack(vectors! + first, d, d, packed! + first);
      }
      for (let column = 0; column < outputs; column += columnsTogether) {
        const count = Math.min(columnsTogether, outputs - column);
        for (let quad = 0; quad < quads; quad++) {
          const left = packed! + quad * packedRows * d;
          const out = products! + quad * packedRows * outputs + column;
          this.#products.add(left, d, tiles! + column * d, productColumns * d, count, out, outputs);
        }
      }
      for (let row = 0; row < filled; row++) {
        const at = products! + row * outputs;
        for (let i = 0; i < width; i++) {
          const value = gated ? act(values[at + i]!, values[at + width + i]!) : act(0, values[at + i]!);
          hidden[i] = value;
          energy += value * value;
        }
        gram.add(hidden, 0, factors[row]!);
      }
      filled = 0;
    };
    eachToken(rows, (part, token, weight) => {
      readKeptRow(part, token, 1, values.subarray(vectors! + filled * d, vectors! + (filled + 1) * d));
      factors[filled++] = weight;
      if (filled === batchRows) {
        flush();
      }
    });
    flush();
    checkEnergy(
      rows,
      energy,
      layer.parts.reduce((sum, { hidden }) => sum + (hidden[expert] ?? 0), 0),
    );
    return gram.finish();
  }
}

/** Throws unless what was computed has about the size of what the model had. */
function checkEnergy({ name, vectors }: ExpertRows, computed: number, observed: number): void {
  if (vectors < batchRows || Math.abs(computed - observed) <= greatestDeviation * observed) {
    return;
  }
  throw new MalformedInputError(
    `${name}: what enters the down matrix is ${(computed / observed).toPrecision(2)} times (as a sum of squares) what the model had when its activations were kept. They are of a model with other weights, or of experts that compute something unknown; keep them again, or use matrices (\`moments\`).`,
  );
}

/** The tokens of an expert, in order, with what its output is multiplied by. */
function eachToken(
  { layer, expert }: ExpertRows,
  visit: (part: KeptRows, token: number, weight: number) => void,
): void {
  for (const part of layer.parts) {
    const { experts, slots } = part;
    for (let at = 0; at < experts.length; at++) {
      if (experts[at] === expert) {
        visit(part, Math.floor(at / slots), part.weights[at]!);
      }
    }
  }
}

/** Places of regions of these sizes one after the other, and of the end. */
function layout(...sizes: number[]): number[] {
  const places = [0];
  for (const size of sizes) {
    places.push((places.at(-1) ?? 0) + Math.ceil(size / 16) * 16);
  }
  return places;
}

/** Decodes a matrix of `width` rows and puts its transpose into tiles. */
function putTiles(
  values: Float32Array,
  tiles: number,
  matrix: StoredMatrix | undefined,
  width: number,
  d: number,
): void {
  if (matrix === undefined) {
    return;
  }
  const row = new Float32Array(d);
  const rowBytes = matrix.bytes.byteLength / width;
  for (let j = 0; j < width; j++) {
    decodeRows(matrix.type, matrix.bytes.subarray(j * rowBytes, (j + 1) * rowBytes), row);
    const at = tiles + (j - (j % productColumns)) * d + (j % productColumns);
    for (let k = 0; k < d; k++) {
      values[at + productColumns * k] = row[k]!;
    }
  }
}

/** Sums of outer products, a batch at a time, in the memory of products. */
class Gram {
  readonly #products: Products;
  readonly #n: number;
  readonly #sums: number;
  readonly #tiles: number;
  readonly #packed: number;
  #count = 0;

  /** `places` begin with those of the sums, of a batch, and of four packed rows, and end with the end. */
  constructor(products: Products, n: number, places: readonly number[]) {
    this.#products = products;
    this.#n = n;
    const [sums = 0, tiles = 0, packed = 0] = places;
    [this.#sums, this.#tiles, this.#packed] = [sums, tiles, packed];
    products.reserve(places.at(-1) ?? 0);
    products.values.fill(0, sums, sums + n * n);
  }

  /** Adds `factor` times the vector at `vectors[start]`. */
  add(vectors: Float32Array, start: number, factor: number): void {
    const { values } = this.#products;
    const first = this.#tiles + this.#count * productColumns;
    for (let i = 0; i < this.#n; i += productColumns) {
      const at = first + i * batchRows;
      for (let k = 0; k < productColumns; k++) {
        values[at + k] = factor * vectors[start + i + k]!;
      }
    }
    this.#count++;
    if (this.#count === batchRows) {
      this.#addBatch();
    }
  }

  /** The matrix, both triangles. */
  finish(): Float32Array {
    if (this.#count > 0) {
      this.#addBatch();
    }
    const n = this.#n;
    const sums = this.#products.values.slice(this.#sums, this.#sums + n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < i; j++) {
        sums[i * n + j] = sums[j * n + i]!;
      }
    }
    return sums;
  }

  #addBatch(): void {
    const n = this.#n;
    const { values } = this.#products;
    // Products take two rows at a time.
    const count = this.#count + (this.#count % 2);
    for (let i = 0; i < n && count > this.#count; i += productColumns) {
      const at = this.#tiles + i * batchRows + this.#count * productColumns;
      values.fill(0, at, at + productColumns);
    }
    for (let i = 0; i < n; i += packedRows) {
      const tile = i - (i % productColumns);
      const from = this.#tiles + tile * batchRows + (i - tile);
      for (let t = 0; t < count; t++) {
        for (let k = 0; k < packedRows; k++) {
          values[this.#packed + packedRows * t + k] = values[from + productColumns * t + k]!;
        }
      }
      this.#products.add(
        this.#packed,
        count,
        this.#tiles + tile * batchRows,
        productColumns * batchRows,
        n - tile,
        this.#sums + i * n + tile,
        n,
      );
    }
    this.#count = 0;
  }
}
