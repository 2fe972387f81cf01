/**
 * Unfinished work of a run in a file of lines that only grows: which run it is, then what it has done, each line on the
 * disk before the next begins. What a crash left of the last one is cut off.
 */
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { writeFully } from "../bytes/output.js";
import { systemErrorCode } from "../errors.js";
import { checkpointProblem } from "./checkpoint-problem.js";

export interface RunLinesOptions {
  /** The first line, which tells the run. */
  readonly begin: string;
  /** Whether to go on with a file that begins with this line, rather than to begin anew; may refuse it by throwing. */
  readonly goesOn: (first: string) => boolean;
  /** Takes a line of what was done; false if it is damaged, and then no more are taken. */
  readonly take: (line: string) => boolean;
}

export class RunLines {
  readonly #path: string;
  readonly #file: FileHandle;
  #length: number;

  private constructor(path: string, file: FileHandle, length: number) {
    this.#path = path;
    this.#file = file;
    this.#length = length;
  }

  /** Opens the file, or begins it. Throws what `goesOn` throws; an EnvironmentError if it cannot be read or written. */
  static async open(path: string, { begin, goesOn, take }: RunLinesOptions): Promise<RunLines> {
    return await guarded(path, async () => {
      const [first, ...rest] = await wholeLines(path);
      const isContinued = first !== undefined && goesOn(first);
      let length = isContinued ? lineBytes(first) : 0;
      for (const line of isContinued ? rest : []) {
        if (!take(line)) {
          break;
        }
        length += lineBytes(line);
      }
      const file = await open(path, isContinued ? "r+" : "w");
      const lines = new RunLines(path, file, length);
      await file.truncate(length);
      if (!isContinued) {
        await lines.add(begin);
      }
      return lines;
    });
  }

  /** Adds a line; returns when it outlasts a power failure. */
  async add(line: string): Promise<void> {
    await guarded(this.#path, async () => {
      const bytes = Buffer.from(`${line}\n`);
      await writeFully(this.#file, bytes, this.#length);
      await this.#file.datasync();
      this.#length += bytes.length;
    });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Removes the file, when the run is complete. */
  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

function lineBytes(line: string): number {
  return Buffer.byteLength(`${line}\n`);
}

/** Whole lines of a file, which may not be there. */
async function wholeLines(path: string): Promise<string[]> {
  try {
    return (await readFile(path, "utf8")).split("\n").slice(0, -1);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") {
      return [];
    }
    throw error;
  }
}

async function guarded<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw checkpointProblem(path, cause);
  }
}
