/** Observers of the node through which the residual stream leaves a window's last layer. */
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError } from "../errors.js";
import type { WindowRange } from "../model/layer-window.js";
import type { ChunkBatch } from "../text/chunks.js";

/** Name of the node, in the window's own count of layers (`cb(cur, "l_out", il)` in llama.cpp `src/models/`). */
export function leavingNode({ from, to }: WindowRange): string {
  return `l_out-${to - from - 1}`;
}

/** Leaves out what follows the last layer, because nobody wants it: the output matrix is a tenth of a large model's work. */
export class StopAfter implements Observer {
  readonly #node: string;

  constructor(node: string) {
    this.#node = node;
  }

  wants(node: NativeTensor): boolean {
    return node.name === this.#node;
  }

  observe(): "stop" {
    return "stop";
  }
}

/** Tokens that are computed together: as many of each sequence, from this position on. */
interface MicroBatch {
  readonly position: number;
  readonly count: number;
}

/** Takes what leaves the window. */
export class StreamCapture implements Observer {
  readonly #node: string;
  readonly #write: (firstToken: number, vectors: Float32Array) => void;
  readonly #width: number | undefined;
  readonly #stops: boolean;
  #expected: MicroBatch[] = [];
  #chunks: number[] = [];
  #context = 0;

  /**
   * `write` gets vectors of consecutive tokens of the text.
   * @param options.width length of a vector; the node's rows are the vectors by default
   * @param options.stops nothing is computed after the node; true by default
   */
  constructor(
    node: string,
    write: (firstToken: number, vectors: Float32Array) => void,
    { width, stops = true }: { readonly width?: number; readonly stops?: boolean } = {},
  ) {
    this.#node = node;
    this.#write = write;
    this.#width = width;
    this.#stops = stops;
  }

  /**
   * Before a decode. llama.cpp computes a batch in micro-batches that have as many tokens of each sequence, in the
   * sequences' order (`split_equal` in its `src/llama-batch.cpp`).
   */
  begin(batch: ChunkBatch, context: number, microBatchSize: number): void {
    const [first] = batch.sequences;
    const count = first?.tokens.length ?? 0;
    const start = first?.position ?? 0;
    const together = Math.max(1, Math.floor(microBatchSize / batch.sequences.length));
    this.#context = context;
    this.#chunks = batch.sequences.map(({ sequence }) => batch.first + sequence);
    this.#expected = [];
    for (let done = 0; done < count; done += together) {
      this.#expected.push({ position: start + done, count: Math.min(together, count - done) });
    }
  }

  wants(node: NativeTensor): boolean {
    return node.name === this.#node;
  }

  // biome-ignore lint/suspicious/noConfusingVoidType: as in the interface
  observe(node: NativeTensor): "stop" | void {
    const microBatch = this.#expected.shift();
    const width = this.#width ?? node.shape[0];
    const rows = node.shape.reduce((product, size) => product * size, 1) / width;
    if (microBatch === undefined || rows !== microBatch.count * this.#chunks.length) {
      throw new InternalError(
        `"${node.name}" has ${rows} vectors, where ${(microBatch?.count ?? 0) * this.#chunks.length} were expected.`,
      );
    }
    const values = node.float32();
    for (const [i, chunk] of this.#chunks.entries()) {
      const at = i * microBatch.count * width;
      this.#write(
        chunk * this.#context + microBatch.position,
        values.subarray(at, at + microBatch.count * width),
      );
    }
    if (this.#stops) {
      return "stop";
    }
  }

  /** After a decode. Throws an InternalError if something has not been seen. */
  end(): void {
    if (this.#expected.length > 0) {
      throw new InternalError(`the graph has no node "${this.#node}" for the end of the window.`);
    }
  }
}
