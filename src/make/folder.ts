/** The folder that `make` fills: what can be published at the top, work under way in `.lopsided/`. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createFolder } from "../bytes/disk.js";
import { FileLock } from "../bytes/lock.js";
import { collectionFolder } from "../quantize/collect-inputs.js";
import { MakeState } from "./state.js";

/** Names of files that were being written under a random name when a run was killed: see `OutputFile.create`. */
const leftover = /^\..+\.partial-[0-9a-f]{12}$/;

export class MakeFolder {
  readonly #lock: FileLock;
  readonly path: string;
  /** Where work under way lies. */
  readonly work: string;
  readonly state: MakeState;

  private constructor(path: string, work: string, state: MakeState, lock: FileLock) {
    this.path = path;
    this.work = work;
    this.state = state;
    this.#lock = lock;
  }

  /**
   * Opens a folder for one run, creating it. Throws a UsageError if another process works in it, an
   * EnvironmentError if it cannot be written.
   */
  static async open(path: string): Promise<MakeFolder> {
    const work = join(path, ".lopsided");
    await createFolder(path);
    await createFolder(work);
    const statePath = join(work, "state.json");
    const lock = await FileLock.acquire(statePath);
    await Promise.all([path, work].map(removeLeftovers));
    return new MakeFolder(path, work, await MakeState.open(statePath), lock);
  }

  /** A file that is part of the result. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** A file that only the work needs. */
  workFile(name: string): string {
    return join(this.work, name);
  }

  /**
   * Removes what unfinished work with other options left: once all stages are finished, nothing will go on with it.
   * `name` is what the names of model files begin with.
   */
  async removeUnfinished(name: string): Promise<void> {
    const isUnfinished = (file: string) =>
      /^imatrix\.gguf\.partial/.test(file) ||
      (file.startsWith(`${name}-`) && file.endsWith(collectionFolder(".gguf"))) ||
      ([`.${name}-`, `.mtp-${name}-`].some((begin) => file.startsWith(begin)) &&
        /\.gguf\.(partial|journal|scales(\.\w+)?)$/.test(file));
    const wanted = new Set([
      "state.json",
      "errors.jsonl",
      ...this.state.files().map((path) => path.split(/[\\/]/)[1]),
    ]);
    const isStale = (file: string) => !wanted.has(file) && !file.startsWith(".state.json.");
    for (const [folder, isLeft] of [
      [this.path, isUnfinished],
      [this.work, isStale],
    ] as const) {
      for (const file of (await readdir(folder)).filter(isLeft)) {
        await rm(join(folder, file), { recursive: true, force: true });
      }
    }
  }

  async close(): Promise<void> {
    await this.#lock.release();
  }
}

async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (leftover.test(name)) {
      await rm(join(folder, name), { force: true });
    }
  }
}
