/**
 * Second moments of one expert's input, made when its turn comes of the vectors that were kept of the layer's tokens
 * (`kept-rows.ts`): those of its tokens, weighted by the square of what its output is multiplied by. What enters its
 * down matrix is computed of the same vectors by its gate and up.
 *
 * The order of additions, and so every bit, depends on the vectors alone.
 */
import { MalformedInputError } from "../../errors.js";
import { layOut } from "../../wasm/heap.js";
import { ExpertHidden, type ExpertWeights } from "./expert-hidden.js";
import { type KeptRows, readKeptRow } from "./kept-rows.js";
import { fewTokensPerColumn, mixWithPool, type PooledMoments } from "./pooled-moments.js";
import { RoundedProducts } from "./rounded-products.js";
import { RoundedSums } from "./rounded-sums.js";

/** All that was kept of a layer's input. */
export interface KeptLayer {
  /** Of its contents. */
  readonly sha256: string;
  readonly columns: number;
  /** Those of several texts one after the other. */
  readonly parts: readonly KeptRows[];
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

/** Tokens below which that is not looked at: chance is too large. */
const fewestForEnergy = 128;

/** How far the input of a down matrix may be from what the model had, as a share of its sum of squares. */
const greatestDeviation = 0.25;

/** Makes moments. One for each thread; it keeps those of the latest layer's tokens. */
export class ExpertMoments {
  readonly #products: RoundedProducts;
  #pool: (PooledMoments & { readonly sha256: string }) | undefined;

  constructor(module: WebAssembly.Module | undefined) {
    this.#products = new RoundedProducts(module);
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
    const own = this.#sumOf(columns, (add) =>
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
    const sums = this.#sumOf(layer.columns, (add) => {
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
    n: number,
    visit: (add: (part: KeptRows, token: number, weight: number) => void) => void,
  ): Float32Array {
    const { places, bytes } = layOut(RoundedSums.sizes(n));
    this.#products.reserve(bytes);
    const sums = new RoundedSums(this.#products, n, places);
    visit((part, token, weight) => readKeptRow(part, token, weight, sums.next()));
    return sums.finish();
  }

  #hidden(rows: ExpertRows, weights: ExpertWeights): Float32Array {
    const { layer, expert } = rows;
    const { columns } = layer;
    const { places, bytes } = layOut({
      ...RoundedSums.sizes(weights.width),
      ...ExpertHidden.sizes(columns, weights),
    });
    this.#products.reserve(bytes);
    const sums = new RoundedSums(this.#products, weights.width, places);
    const hidden = new ExpertHidden(this.#products, columns, weights, places, () => sums.next());
    eachToken(rows, (part, token, weight) => hidden.add(part, token, weight));
    hidden.finish();
    checkEnergy(
      rows,
      hidden.energy,
      layer.parts.reduce((sum, part) => sum + (part.hidden[expert] ?? 0), 0),
    );
    return sums.finish();
  }
}

/** Throws unless what was computed has about the size of what the model had. */
function checkEnergy({ name, vectors }: ExpertRows, computed: number, observed: number): void {
  if (vectors < fewestForEnergy || Math.abs(computed - observed) <= greatestDeviation * observed) {
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
