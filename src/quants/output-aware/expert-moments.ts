/**
 * Second moments of one expert's input, made when its turn comes of the vectors that were kept of the layer's tokens
 * (`kept-rows.ts`): those of its tokens, weighted by the square of what its output is multiplied by. What enters its
 * down matrix is computed of the same vectors by its gate and up.
 *
 * The order of additions, and so every bit, depends on the vectors alone.
 */
import { MalformedInputError } from "../../errors.js";
import { type ActivationName, expertFunctions, hasGate } from "./expert-activation.js";
import { batchRows, GramSums, placesOf } from "./gram-sums.js";
import { type KeptRows, readKeptRow } from "./kept-rows.js";
import { fewTokensPerColumn, mixWithPool, type PooledMoments } from "./pooled-moments.js";
import { Products, packedRows } from "./products.js";
import { putTiles, type StoredMatrix } from "./stored-matrix.js";

/** All that was kept of a layer's input. */
export interface KeptLayer {
  /** Of its contents. */
  readonly sha256: string;
  readonly columns: number;
  /** Those of several texts one after the other. */
  readonly parts: readonly KeptRows[];
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

/** Tokens per column that all tokens' moments are made of: more change nothing. */
const pooledTokensPerColumn = 8;

/** How far the input of a down matrix may be from what the model had, as a share of its sum of squares. */
const greatestDeviation = 0.25;

/** Makes moments. One for each thread; it keeps those of the latest layer's tokens. */
export class ExpertMoments {
  readonly #products: Products;
  #pool: (PooledMoments & { readonly sha256: string }) | undefined;

  constructor(module: WebAssembly.Module | undefined) {
    this.#products = new Products(module);
  }

  /** Key of what `of` returns. */
  static key({ layer, expert, weights }: ExpertRows): string {
    return `${layer.sha256} ${expert} ${weights?.sha256 ?? ""}`;
  }

  /**
   * The upper triangle of the whole matrix, row after row, until the next call. Throws a MalformedInputError if the
   * computed input of a down matrix is not what the model had.
   */
  of(rows: ExpertRows): Float32Array {
    if (rows.weights) {
      return this.#hidden(rows, rows.weights);
    }
    const { layer, vectors } = rows;
    const { columns } = layer;
    // First, as what is made of the same memory is gone with the next sum.
    const pool = vectors < fewTokensPerColumn * columns ? this.#poolOf(layer) : undefined;
    if (pool && vectors === 0) {
      return pool.sums;
    }
    const own = this.#sumOf(layer, columns, (add) =>
      eachToken(rows, (part, token, weight) => add(part, token, weight)),
    );
    if (pool) {
      mixWithPool(own, vectors, pool, { columns, isPacked: false });
    }
    return own;
  }

  /** Moments of tokens evenly spread over the layer's, each weighted as all its experts weight it. */
  #poolOf(layer: KeptLayer): PooledMoments {
    if (this.#pool?.sha256 === layer.sha256) {
      return this.#pool;
    }
    const tokens = layer.parts.reduce((sum, part) => sum + part.tokens, 0);
    const stride = Math.max(1, Math.floor(tokens / (pooledTokensPerColumn * layer.columns)));
    let vectors = 0;
    const sums = this.#sumOf(layer, layer.columns, (add) => {
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
    this.#pool = { sha256: layer.sha256, sums: sums.slice(), vectors };
    return this.#pool;
  }

  /** The sum of x x^T over vectors that `visit` names. */
  #sumOf(
    layer: KeptLayer,
    n: number,
    visit: (add: (part: KeptRows, token: number, weight: number) => void) => void,
  ): Float32Array {
    const gram = new GramSums(this.#products, n, placesOf(n * n, n * batchRows, packedRows * batchRows));
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
    const places = placesOf(
      width * width,
      width * batchRows,
      packedRows * batchRows,
      outputs * d,
      batchRows * d,
      batchRows * d,
      batchRows * outputs,
    );
    const [, , , tiles, vectors, packed, products] = places;
    const gram = new GramSums(this.#products, width, places);
    const { values } = this.#products;
    const bias = new Float32Array(outputs);
    const matrices = gated ? [weights.gate, weights.up] : [weights.up];
    for (const [i, matrix] of matrices.entries()) {
      if (matrix) {
        putTiles(values, tiles! + i * width * d, matrix, width, d);
        bias.set(matrix.bias ?? [], i * width);
      }
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
      this.#products.addRows({
        rows: vectors!,
        rowCount: filled,
        count: d,
        packed: packed!,
        tiles: tiles!,
        columns: outputs,
        out: products!,
      });
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
