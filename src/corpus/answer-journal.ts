/** Unfinished answers beside their output: a line for each group of them. */
import { RunLines } from "../activations/run-lines.js";
import { UsageError } from "../errors.js";
import type { TogetherAnswer } from "../generate/together-job.js";

const format = "lopsided-answers-1";

export class AnswerJournal {
  readonly #lines: RunLines;
  /** Groups that are there already. */
  readonly groups: readonly (readonly TogetherAnswer[])[];

  private constructor(lines: RunLines, groups: readonly TogetherAnswer[][]) {
    this.#lines = lines;
    this.groups = groups;
  }

  /**
   * Opens the journal of a run, which is told by `run`.
   * Throws a UsageError if there is one of another run, unless `restart` throws it away; an EnvironmentError.
   */
  static async open(path: string, run: string, restart: boolean): Promise<AnswerJournal> {
    const begin = JSON.stringify({ format, run });
    const groups: TogetherAnswer[][] = [];
    const lines = await RunLines.open(path, {
      begin,
      goesOn(first) {
        if (!restart && first !== begin) {
          throw new UsageError(
            `${path}: has unfinished answers of another model, other prompts or options; repeat that command, or throw them away with \`restart\`.`,
            { file: path },
          );
        }
        return !restart;
      },
      take(line) {
        const group = parsed(line);
        if (group !== undefined) {
          groups.push(group);
        }
        return group !== undefined;
      },
    });
    return new AnswerJournal(lines, groups);
  }

  /** Returns when the group is on the disk. */
  async add(group: readonly TogetherAnswer[]): Promise<void> {
    await this.#lines.add(JSON.stringify(group));
  }

  async close(): Promise<void> {
    await this.#lines.close();
  }

  /** Removes it, when the output is whole. */
  async remove(): Promise<void> {
    await this.#lines.remove();
  }
}

function parsed(line: string): TogetherAnswer[] | undefined {
  try {
    return JSON.parse(line) as TogetherAnswer[];
  } catch {
    return undefined;
  }
}
