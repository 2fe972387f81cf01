/**
 * Errors measured before, by what they were measured on: a file of JSON lines that only grows, so that a run that
 * was stopped goes on where it was. Keys are hashes of the sampled weights themselves and of all that decides the
 * error, so an entry cannot be out of date.
 */
import { type FileHandle, mkdir, open, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { userCacheFolder } from "../bytes/disk.js";
import { EnvironmentError, systemErrorCode } from "../errors.js";

/** Larger files are not ours. */
const largestFile = 256 * 2 ** 20;

/** Where errors of a model are kept unless the user names a file: in a cache, or else in the user's cache folder. */
export function errorsPath(fingerprint: string, cache: string | undefined): string {
  return join(cache ?? userCacheFolder(), "errors", `${fingerprint.slice(0, 32)}.jsonl`);
}

export class ErrorCache {
  readonly #entries: Map<string, number>;
  readonly #file: FileHandle;

  private constructor(entries: Map<string, number>, file: FileHandle) {
    this.#entries = entries;
    this.#file = file;
  }

  /** Opens the cache at `path`, or begins it. Lines that are damaged are left out. */
  static async open(path: string): Promise<ErrorCache> {
    const entries = new Map<string, number>();
    try {
      await mkdir(dirname(path), { recursive: true });
      const file = await open(path, "a+");
      const { size } = await file.stat();
      if (size <= largestFile) {
        readLines(await readFile(path, "utf8"), entries);
      }
      return new ErrorCache(entries, file);
    } catch (cause) {
      throw new EnvironmentError(
        `${path}: cannot be written (${systemErrorCode(cause) ?? cause}); choose a place that can.`,
        { file: path },
        { cause },
      );
    }
  }

  get(key: string): number | undefined {
    return this.#entries.get(key);
  }

  /** Keeps some errors, on the disk before it returns to the caller's loop. */
  async add(entries: ReadonlyMap<string, number>): Promise<void> {
    if (entries.size === 0) {
      return;
    }
    for (const [key, error] of entries) {
      this.#entries.set(key, error);
    }
    const lines = [...entries].map((entry) => `${JSON.stringify(entry)}\n`);
    // A line cut off by a kill must not swallow the next one, so that each batch begins on a line of its own.
    await this.#file.appendFile(`\n${lines.join("")}`);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function readLines(text: string, entries: Map<string, number>): void {
  for (const line of text.split("\n")) {
    const [, key, error] = /^\["([0-9a-f]{40})",([0-9.e+-]+)\]$/.exec(line) ?? [];
    const value = Number(error);
    if (key !== undefined && value >= 0 && Number.isFinite(value)) {
      entries.set(key, value);
    }
  }
}
