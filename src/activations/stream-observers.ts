/** Observers of the node through which the residual stream leaves a window's last layer. */
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError } from "../errors.js";
import type { WindowRange } from "../model/layer-window.js";
import type { ChunkBatch } from "../text/chunks.js";
import { MicroBatches } from "./micro-batches.js";

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

/** Takes what leaves the window. */
export class StreamCapture implements Observer {
  readonly #node: string;
  readonly #write: (firstToken: number, vectors: Float32Array) => void;
  readonly #width: number | undefined;
  readonly #stops: boolean;
  readonly #microBatches = new MicroBatches();

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

  /** Before a decode. */
  begin(batch: ChunkBatch, context: number, microBatchSize: number): void {
    this.#microBatches.begin(batch, context, microBatchSize);
  }

  wants(node: NativeTensor): boolean {
    return node.name === this.#node;
  }

  // biome-ignore lint/suspicious/noConfusingVoidType: as in the interface
  observe(node: NativeTensor): "stop" | void {
    const width = this.#width ?? node.shape[0];
    const rows = node.shape.reduce((product, size) => product * size, 1) / width;
    const values = node.float32();
    for (const { token, count, row } of this.#microBatches.next(node.name, rows)) {
      this.#write(token, values.subarray(row * width, (row + count) * width));
    }
    if (this.#stops) {
      return "stop";
    }
  }

  /** After a decode. Throws an InternalError if something has not been seen. */
  end(): void {
    if (!this.#microBatches.isDone) {
      throw new InternalError(`the graph has no node "${this.#node}" for the end of the window.`);
    }
  }
}
