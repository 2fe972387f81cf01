/** Reads rows where their model lies: on a server, or in a folder that this machine has too. */
import { basename, join } from "node:path";
import { isAddress } from "../bytes/address.js";
import type { ModelSource } from "../model/source.js";
import type { RowOrigin } from "../quants/transcode.js";
import type { RowReader } from "../queue/row-reader.js";

/** Models that are held open. */
const mostModels = 4;

export class OriginReader implements RowReader {
  readonly #shared: string | undefined;
  readonly #signal: AbortSignal;
  readonly #models = new Map<string, Promise<ModelSource | undefined>>();

  /** `shared` is a folder with models that coordinators have under the same names. */
  constructor(shared: string | undefined, signal: AbortSignal) {
    this.#shared = shared;
    this.#signal = signal;
  }

  async read({ model, tensor, shape, firstRow, rows }: RowOrigin): Promise<Uint8Array | undefined> {
    const path = this.pathOf(model);
    const source = path === undefined ? undefined : await this.#open(path);
    const found = source?.tensors.find(({ name }) => name === tensor);
    const isSame = found?.shape.length === shape.length && found.shape.every((size, i) => size === shape[i]);
    try {
      return isSame ? await found.readRows(firstRow, rows) : undefined;
    } catch {
      // The coordinator has them in any case.
      return undefined;
    }
  }

  /**
   * Where this machine reaches a model of that name; undefined if it does not. Only the last part of a path is looked at:
   * what a job names is nowhere but in the shared folder.
   */
  pathOf(model: string): string | undefined {
    if (isAddress(model)) {
      return model;
    }
    const name = basename(model.replaceAll("\\", "/"));
    return this.#shared === undefined || name === "" || name === "." || name === ".."
      ? undefined
      : join(this.#shared, name);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#models.values()].map(close));
    this.#models.clear();
  }

  #open(path: string): Promise<ModelSource | undefined> {
    const known = this.#models.get(path);
    if (known) {
      return known;
    }
    const opened = this.#openNew(path).catch(() => undefined);
    this.#models.set(path, opened);
    for (const [oldest, source] of this.#models) {
      if (this.#models.size > mostModels) {
        this.#models.delete(oldest);
        void close(source);
      }
    }
    return opened;
  }

  /** What reads models is loaded only where there is one to be read. */
  async #openNew(path: string): Promise<ModelSource> {
    const { openModel } = await import("../model/open.js");
    return await openModel(path, { signal: this.#signal });
  }
}

async function close(source: Promise<ModelSource | undefined>): Promise<void> {
  await (await source)?.close();
}
