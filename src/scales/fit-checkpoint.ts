/** Unfinished work of fitting scales: those of the layers that are done. The residual streams lie beside it. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { RunLines } from "../activations/run-lines.js";
import { bytesOf, floatsOf } from "../bytes/floats.js";
import { UsageError } from "../errors.js";

/** What was found of a layer. */
export interface LayerScales {
  readonly layer: number;
  /** Error of the stream that leaves the layer, relative to the source's stream, on text that was not fitted to. */
  readonly before: number;
  readonly after: number;
  /**
   * By tensor, what to multiply its rows by; none if that would not lower the error, or if the layer has nothing to
   * fit.
   */
  readonly factors: Readonly<Record<string, Float32Array>>;
}

const format = "lopsided-scales-1";

/** The streams that are kept. */
export const fittedStreams = ["source", "quantized"] as const;

export class FitCheckpoint {
  readonly #lines: RunLines;
  /** Of the layers that are done, in order. */
  readonly layers: readonly LayerScales[];

  private constructor(lines: RunLines, layers: readonly LayerScales[]) {
    this.#lines = lines;
    this.layers = layers;
  }

  /**
   * Opens the file of a run, which is told by its name; that of another run is begun anew. Throws a UsageError if there
   * is a file that is something else, an EnvironmentError if it cannot be written.
   */
  static async open(path: string, run: string): Promise<FitCheckpoint> {
    const begin = JSON.stringify({ format, run });
    const layers: LayerScales[] = [];
    const lines = await RunLines.open(path, {
      begin,
      goesOn(first) {
        if (!first.startsWith(`{"format":"${format}"`)) {
          throw new UsageError(`${path}: is not the unfinished work of scales; move it away.`, {
            file: path,
          });
        }
        return first === begin && fittedStreams.every((which) => existsSync(fittedStreamPath(path, which)));
      },
      take: (line) => take(line, layers),
    });
    return new FitCheckpoint(lines, layers);
  }

  /** Saves a layer; returns when it outlasts a power failure. */
  async save({ factors, ...rest }: LayerScales): Promise<void> {
    const packed = Object.entries(factors).map(([name, values]) => [
      name,
      Buffer.from(bytesOf(values)).toString("base64"),
    ]);
    await this.#lines.add(JSON.stringify({ ...rest, factors: Object.fromEntries(packed) }));
  }

  async close(): Promise<void> {
    await this.#lines.close();
  }
}

/** Where a stream is kept beside the file. */
export function fittedStreamPath(path: string, which: (typeof fittedStreams)[number]): string {
  return `${path}.${which}`;
}

/** Removes all files of a run that is complete. */
export async function removeFit(path: string): Promise<void> {
  for (const which of fittedStreams) {
    await rm(fittedStreamPath(path, which), { force: true });
  }
  await rm(path, { force: true });
}

/** Reads a line; false if it is damaged. */
function take(line: string, layers: LayerScales[]): boolean {
  try {
    const { factors, ...rest } = JSON.parse(line) as LayerScales & { factors: Record<string, string> };
    const unpacked = Object.entries(factors).map(([name, text]) => [
      name,
      floatsOf(Uint8Array.from(Buffer.from(text, "base64"))),
    ]);
    layers.push({ ...rest, factors: Object.fromEntries(unpacked) });
    return true;
  } catch {
    return false;
  }
}
