/** Keeping activations beside a model that is run window after window. */

import { raiseLayer } from "../activations/operands.js";
import type { OpenText } from "../activations/run-text.js";
import { shownName } from "../bytes/address.js";
import type { Observer } from "../engine/observer.js";
import type { WindowRange } from "../model/layer-window.js";
import type { KeptBits } from "../quants/output-aware/kept-rows.js";
import { KeptCollector } from "./collector.js";
import { hiddenSums, type ImatrixSums } from "./hidden-sums.js";
import type { KeptInput } from "./layers.js";
import { KeptWriter, unfinishedPath, windowKeptPath } from "./writer.js";

/** What is kept, and where. */
export interface KeptParams {
  /** Path of the file. */
  readonly path: string;
  readonly inputs: readonly KeptInput[];
  readonly bits: KeptBits;
  /** What the file calls the text. */
  readonly dataset: string;
  /**
   * Every window has a file of its own, which is there when the window has been run: that is what the run's checkpoint
   * says, so that the file keeps the mark of its run.
   */
  readonly isApart?: boolean | undefined;
}

/**
 * Activations of one window after the other. A token's row has its place in the file, which follows from the place of
 * the run: however a run is interrupted, what is written again lands where it was.
 */
export class WindowKept {
  readonly #params: KeptParams;
  readonly #text: OpenText["text"];
  readonly #run: string;
  #writer: KeptWriter | undefined;
  #collector: KeptCollector | undefined;

  constructor(params: KeptParams, { text }: Pick<OpenText, "text">, run: string) {
    this.#params = params;
    this.#text = text;
    this.#run = run;
  }

  /**
   * Whether an earlier run of this name has left the file that a run goes on with after so many chunks of a window: it
   * is gone on with then.
   */
  goOn(range: WindowRange, chunks: number): boolean {
    const { inputs, isApart } = this.#params;
    const own = isApart ? this.#inputsOf(range) : inputs;
    if (isApart && (chunks === 0 || own.length === 0)) {
      return true;
    }
    this.#writer = KeptWriter.goOn(this.#unfinished(range), own, this.#facts, this.#run);
    return this.#writer !== undefined;
  }

  /** Who is to watch a window from a place on. Begins the file unless an earlier one is gone on with. */
  async begin(range: WindowRange, chunks: number): Promise<readonly Observer[]> {
    const { inputs, bits, isApart } = this.#params;
    const { from } = range;
    const own = this.#inputsOf(range);
    if (isApart && own.length === 0) {
      return [];
    }
    this.#writer ??= await KeptWriter.begin(
      this.#unfinished(range),
      isApart ? own : inputs,
      this.#facts,
      this.#run,
    );
    const lowered = own.map((input) => ({
      ...input,
      weight: raiseLayer(input.weight, -from),
      down: raiseLayer(input.down, -from),
    }));
    const writer = this.#writer;
    const tokens = chunks * this.#text.context;
    this.#collector = new KeptCollector(lowered, bits, writer, tokens, (name) => writer.readChannels(name));
    return [this.#collector];
  }

  /** Returns when what was kept outlasts a power failure. */
  sync(): void {
    this.#writer?.sync();
  }

  /** Throws an InternalError if a window is done and a layer of it was not seen. */
  end(range: WindowRange, entries: ReadonlyMap<string, ImatrixSums>): void {
    this.#collector?.checkComplete(this.#text.chunks * this.#text.context);
    for (const input of this.#params.isApart && this.#writer ? this.#inputsOf(range) : []) {
      this.#writer?.writeHidden(input.name, hiddenSums(input, entries));
    }
  }

  close(): void {
    this.#writer?.close();
    this.#writer = undefined;
  }

  #unfinished({ from }: WindowRange): string {
    const { path, isApart } = this.#params;
    return isApart ? windowKeptPath(path, from) : unfinishedPath(path);
  }

  #inputsOf({ from, to }: WindowRange): KeptInput[] {
    return this.#params.inputs.filter(({ layer }) => layer >= from && layer < to);
  }

  get #facts() {
    const { bits, dataset } = this.#params;
    const { chunks, context } = this.#text;
    return { bits, datasets: [shownName(dataset)], chunkCount: chunks, chunkSize: context };
  }
}
