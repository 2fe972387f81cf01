/**
 * Unfinished answers beside their output: a file of lines that only grows, the run first, then one for each group of
 * answers. What a crash left of the last line is cut off.
 */
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { checkpointProblem } from "../activations/checkpoint-problem.js";
import { writeFully } from "../bytes/output.js";
import { systemErrorCode, UsageError } from "../errors.js";
import type { TogetherAnswer } from "../generate/together-job.js";

const format = "lopsided-answers-1";

export class AnswerJournal {
  readonly #path: string;
  readonly #file: FileHandle;
  #length: number;
  /** Groups that are there already. */
  readonly groups: readonly (readonly TogetherAnswer[])[];

  private constructor(path: string, file: FileHandle, length: number, groups: readonly TogetherAnswer[][]) {
    this.#path = path;
    this.#file = file;
    this.#length = length;
    this.groups = groups;
  }

  /**
   * Opens the journal of a run, which is told by `run`.
   * Throws a UsageError if there is one of another run, unless `restart` throws it away; an EnvironmentError.
   */
  static async open(path: string, run: string, restart: boolean): Promise<AnswerJournal> {
    return await guarded(path, async () => {
      const lines = restart ? [] : await wholeLines(path);
      const begin = JSON.stringify({ format, run });
      if (lines.length > 0 && lines[0] !== begin) {
        throw new UsageError(
          `${path}: has unfinished answers of another model, other prompts or options; repeat that command, or throw them away with \`restart\`.`,
          { file: path },
        );
      }
      const groups: TogetherAnswer[][] = [];
      let length = Buffer.byteLength(`${begin}\n`);
      for (const line of lines.slice(1)) {
        const group = parsed(line);
        if (group === undefined) {
          break; // what the disk lost
        }
        groups.push(group);
        length += Buffer.byteLength(`${line}\n`);
      }
      const file = await open(path, lines.length > 0 ? "r+" : "w");
      const journal = new AnswerJournal(path, file, lines.length > 0 ? length : 0, groups);
      await file.truncate(journal.#length);
      if (lines.length === 0) {
        await journal.#append(begin);
      }
      return journal;
    });
  }

  /** Returns when the group is on the disk. */
  async add(group: readonly TogetherAnswer[]): Promise<void> {
    await guarded(this.#path, () => this.#append(JSON.stringify(group)));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Removes it, when the output is whole. */
  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #append(line: string): Promise<void> {
    const bytes = Buffer.from(`${line}\n`);
    await writeFully(this.#file, bytes, this.#length);
    await this.#file.datasync();
    this.#length += bytes.length;
  }
}

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

function parsed(line: string): TogetherAnswer[] | undefined {
  try {
    return JSON.parse(line) as TogetherAnswer[];
  } catch {
    return undefined;
  }
}

async function guarded<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw checkpointProblem(path, cause);
  }
}
