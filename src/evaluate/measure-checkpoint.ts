/**
 * Unfinished work of a measurement: how far the windows of each model are, and the scores of the chunks that are done.
 * The residual streams lie beside it.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { RunLines } from "../activations/run-lines.js";
import { UsageError } from "../errors.js";
import { packScores, type ScoredPosition, unpackScores } from "./packed-scores.js";

const format = "lopsided-measurement-1";
/** All chunks of a model's windows before this one are done, and so many of this one. */
export interface WindowPlace {
  readonly window: number;
  readonly chunks: number;
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

/** What the lines say. */
interface MeasuredSoFar {
  readonly places: Map<number, WindowPlace>;
  /** Of each model. */
  readonly scores: ScoredPosition[][];
  chunks: number;
}

export class MeasureCheckpoint {
  readonly #path: string;
  readonly #lines: RunLines;
  readonly #earlier: MeasuredSoFar;

  private constructor(path: string, lines: RunLines, earlier: MeasuredSoFar) {
    this.#path = path;
    this.#lines = lines;
    this.#earlier = earlier;
  }

  /**
   * Opens the file of a run, which is told by its name; that of another run is begun anew. Throws a UsageError if there
   * is a file that is something else, an EnvironmentError if it cannot be written.
   */
  static async open(path: string, run: string): Promise<MeasureCheckpoint> {
    const begin = JSON.stringify({ format, run });
    const progress: MeasuredSoFar = { places: new Map(), scores: [], chunks: 0 };
    const lines = await RunLines.open(path, {
      begin,
      goesOn(first) {
        if (!first.startsWith(`{"format":"${format}"`)) {
          throw new UsageError(
            `${path}: is not the unfinished work of a measurement; name another file with \`checkpoint\`.`,
            { file: path },
          );
        }
        return first === begin;
      },
      take: (line) => take(line, progress),
    });
    return new MeasureCheckpoint(path, lines, progress);
  }

  /** Chunks that are scored. */
  get chunks(): number {
    return this.#earlier.chunks;
  }

  /** Scores of these chunks, of a model, in order. */
  scores(model: number): readonly ScoredPosition[] {
    return this.#earlier.scores[model] ?? [];
  }

  /** Where the windows of a model go on; undefined: at the beginning. */
  place(model: number): WindowPlace | undefined {
    return existsSync(this.streamPath(model)) ? this.#earlier.places.get(model) : undefined;
  }

  /** Where a model's residual stream is kept. */
  streamPath(model: number): string {
    return `${this.#path}.stream-${model}`;
  }

  async savePlace(model: number, { window, chunks }: WindowPlace): Promise<void> {
    await this.#lines.add(JSON.stringify({ model, window, chunks } satisfies PlaceLine));
  }

  /** Saves the scores of the chunks up to `end` that are not saved yet, of each model. */
  async saveScores(end: number, scores: readonly (readonly ScoredPosition[])[]): Promise<void> {
    await this.#lines.add(JSON.stringify({ end, scores: scores.map(pack) } satisfies ScoresLine));
  }

  async close(): Promise<void> {
    await this.#lines.close();
  }

  /** Removes the files of a run that is complete; `models` is their number. */
  async remove(models: number): Promise<void> {
    for (let model = 0; model < models; model++) {
      await rm(this.streamPath(model), { force: true });
    }
    await this.#lines.remove();
  }
}

/** Reads a line; false if it is damaged. */
function take(line: string, progress: MeasuredSoFar): boolean {
  try {
    const read = JSON.parse(line) as PlaceLine | ScoresLine;
    if ("model" in read) {
      progress.places.set(read.model, read);
      return true;
    }
    for (const [model, packed] of read.scores.entries()) {
      progress.scores[model] = [
        ...(progress.scores[model] ?? []),
        ...unpackScores(Buffer.from(packed, "base64")),
      ];
    }
    progress.chunks = read.end;
    return true;
  } catch {
    return false;
  }
}

function pack(scores: readonly ScoredPosition[]): string {
  return Buffer.from(packScores(scores)).toString("base64");
}
