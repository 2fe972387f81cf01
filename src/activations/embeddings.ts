/** The vectors that a model's tokens enter its first layer as, read from the embedding matrix. */
import { MalformedInputError } from "../errors.js";
import { Architecture } from "../model/architecture.js";
import { type ModelSource, rowCount, type SourceTensor } from "../model/source.js";
import { windowFactsOf } from "../model/window-facts.js";
import { decodeRows } from "../quants/codec.js";
import { rowBytes } from "../quants/types.js";

/** Bytes read at a time. */
const stretchBytes = 4 * 2 ** 20;

export class Embeddings {
  readonly #tensor: SourceTensor;
  readonly #width: number;
  readonly #factor: number;
  readonly #rows: ReadonlyMap<number, Uint8Array>;

  private constructor(
    tensor: SourceTensor,
    width: number,
    factor: number,
    rows: ReadonlyMap<number, Uint8Array>,
  ) {
    this.#tensor = tensor;
    this.#width = width;
    this.#factor = factor;
    this.#rows = rows;
  }

  /** Reads the rows of `tokens`, each stretch of the matrix once. */
  static async read(source: ModelSource, tokens: Iterable<number>): Promise<Embeddings> {
    const tensor = source.tensors.find(({ name }) => name === "token_embd.weight");
    if (tensor === undefined) {
      throw new MalformedInputError(`${source.name}: has no "token_embd.weight".`, { file: source.name });
    }
    const architecture = new Architecture(source.metadata);
    const width = tensor.shape[0] ?? 0;
    const stride = rowBytes(tensor.type, width);
    const together = Math.max(1, Math.floor(stretchBytes / stride));
    const wanted = [...new Set(tokens)].sort((a, b) => a - b);
    const rows = new Map<number, Uint8Array>();
    for (let i = 0; i < wanted.length; ) {
      const first = wanted[i] ?? 0;
      const count = Math.min(together, rowCount(tensor.shape) - first);
      const bytes = await tensor.readRows(first, count);
      for (; i < wanted.length && (wanted[i] ?? 0) < first + count; i++) {
        const at = ((wanted[i] ?? 0) - first) * stride;
        rows.set(wanted[i] ?? 0, bytes.slice(at, at + stride));
      }
    }
    const scales = windowFactsOf(architecture.name)?.scalesTokens ?? false;
    return new Embeddings(tensor, width, scales ? Math.fround(Math.sqrt(width)) : 1, rows);
  }

  /** Vectors of tokens that were read, one after the other. */
  vectors(tokens: Int32Array): Float32Array {
    const vectors = new Float32Array(tokens.length * this.#width);
    for (const [i, token] of tokens.entries()) {
      const row = this.#rows.get(token);
      if (row === undefined) {
        throw new RangeError(`token ${token} was not read`);
      }
      decodeRows(this.#tensor.type, row, vectors.subarray(i * this.#width, (i + 1) * this.#width));
    }
    if (this.#factor !== 1) {
      for (let i = 0; i < vectors.length; i++) {
        vectors[i] = (vectors[i] ?? 0) * this.#factor;
      }
    }
    return vectors;
  }
}
