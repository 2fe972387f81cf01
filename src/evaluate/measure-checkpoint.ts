/**
 * Unfinished work of a measurement: how far the windows of each model are, and the scores of the chunks that are done.
 * A file of lines that only grows, each written whole before the next begins; what a crash left of the last one is
 * ignored. The residual streams lie beside it.
 */
import { existsSync, readFileSync } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { checkpointProblem } from "../activations/checkpoint-problem.js";
import { UsageError } from "../errors.js";
import type { PositionScore } from "./scores.js";

const format = "lopsided-measurement-1";
/** Numbers kept of a score. */
const fields = 5;

/** All chunks of a model's windows before this one are done, and so many of this one. */
export interface WindowPlace {
  readonly window: number;
  readonly chunks: number;
}

export interface ScoredPosition {
  readonly chunk: number;
  readonly score: PositionScore;
}

interface PlaceLine extends WindowPlace {
  readonly model: number;
}

interface ScoresLine {
  /** Chunks done. */
  readonly end: number;
  /** Of each model, float64 in base64. */
  readonly scores: readonly string[];
}

export class MeasureCheckpoint {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #places = new Map<number, WindowPlace>();
  readonly #scores: ScoredPosition[][] = [];
  #chunks = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Opens the file of a run, which is told by its name; that of another run is begun anew. Throws a UsageError if there
   * is a file that is something else, an EnvironmentError if it cannot be written.
   */
  static async open(path: string, run: string): Promise<MeasureCheckpoint> {
    const begin = JSON.stringify({ format, run });
    const lines = linesOf(path);
    if (lines[0] !== undefined && !lines[0].startsWith(`{"format":"${format}"`)) {
      throw new UsageError(
        `${path}: is not the unfinished work of a measurement; name another file with \`checkpoint\`.`,
        { file: path },
      );
    }
    const goesOn = lines[0] === begin;
    return await guarded(path, async () => {
      const checkpoint = new MeasureCheckpoint(path, await open(path, goesOn ? "r+" : "w"));
      let bytes = Buffer.byteLength(`${begin}\n`);
      for (const line of goesOn ? lines.slice(1) : []) {
        if (!checkpoint.#take(line)) {
          break;
        }
        bytes += Buffer.byteLength(`${line}\n`);
      }
      await checkpoint.#file.truncate(goesOn ? bytes : 0);
      if (!goesOn) {
        await checkpoint.#append(begin);
      }
      return checkpoint;
    });
  }

  /** Chunks that are scored. */
  get chunks(): number {
    return this.#chunks;
  }

  /** Scores of these chunks, of a model, in order. */
  scores(model: number): readonly ScoredPosition[] {
    return this.#scores[model] ?? [];
  }

  /** Where the windows of a model go on; undefined: at the beginning. */
  place(model: number): WindowPlace | undefined {
    return existsSync(this.streamPath(model)) ? this.#places.get(model) : undefined;
  }

  /** Where a model's residual stream is kept. */
  streamPath(model: number): string {
    return `${this.#path}.stream-${model}`;
  }

  async savePlace(model: number, { window, chunks }: WindowPlace): Promise<void> {
    await this.#append(JSON.stringify({ model, window, chunks } satisfies PlaceLine));
  }

  /** Saves the scores of the chunks up to `end` that are not saved yet, of each model. */
  async saveScores(end: number, scores: readonly (readonly ScoredPosition[])[]): Promise<void> {
    await this.#append(JSON.stringify({ end, scores: scores.map(pack) } satisfies ScoresLine));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Removes the files of a run that is complete; `models` is their number. */
  async remove(models: number): Promise<void> {
    for (let model = 0; model < models; model++) {
      await rm(this.streamPath(model), { force: true });
    }
    await rm(this.#path, { force: true });
  }

  /** Reads a line; false if it is damaged. */
  #take(line: string): boolean {
    try {
      const read = JSON.parse(line) as PlaceLine | ScoresLine;
      if ("model" in read) {
        this.#places.set(read.model, read);
        return true;
      }
      for (const [model, packed] of read.scores.entries()) {
        this.#scores[model] = [...(this.#scores[model] ?? []), ...unpack(packed)];
      }
      this.#chunks = read.end;
      return true;
    } catch {
      return false;
    }
  }

  async #append(line: string): Promise<void> {
    await guarded(this.#path, async () => {
      const { size } = await this.#file.stat();
      const bytes = Buffer.from(`${line}\n`);
      await this.#file.write(bytes, 0, bytes.length, size);
      await this.#file.datasync();
    });
  }
}

/** Whole lines of a file, which may not be there. */
function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
}

function pack(scores: readonly ScoredPosition[]): string {
  const values = new Float64Array(fields * scores.length);
  for (const [i, { chunk, score }] of scores.entries()) {
    const { nll, comparison } = score;
    const { referenceNll = Number.NaN, divergence = 0, sameTop = false } = comparison ?? {};
    values.set([chunk, nll, referenceNll, divergence, sameTop ? 1 : 0], fields * i);
  }
  return Buffer.from(values.buffer).toString("base64");
}

function unpack(packed: string): ScoredPosition[] {
  const values = new Float64Array(new Uint8Array(Buffer.from(packed, "base64")).buffer);
  return Array.from({ length: values.length / fields }, (_, i) => {
    const [chunk = 0, nll = 0, referenceNll = 0, divergence = 0, sameTop] = values.subarray(fields * i);
    const comparison = Number.isNaN(referenceNll)
      ? undefined
      : { referenceNll, divergence, sameTop: sameTop === 1 };
    return { chunk, score: { nll, comparison } };
  });
}

async function guarded<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw checkpointProblem(path, cause);
  }
}
