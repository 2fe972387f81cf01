/**
 * Unfinished work of a sweep: how far it is, and what the windows so far have told. One file that is replaced as a
 * whole; the streams that leave the last window lie beside it. Everything happens before the next window is begun,
 * which writes over what entered the one before.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { z } from "zod";
import { checkpointProblem } from "../../activations/checkpoint-problem.js";

const format = "lopsided-sweep-sensitivity-1";

/** How much a tensor's noise changed the output of its window. */
export interface TensorChange {
  readonly name: string;
  /** Relative size of the noise. */
  readonly error: number;
  /** Mean square of the change, relative to the output's. */
  readonly size: number;
}

/** What all windows before the next one have told. */
export interface SweepState {
  /** Of each window, its tensors. */
  readonly changes: readonly (readonly TensorChange[])[];
  /** Sizes of what disturbs the windows' streams. */
  readonly disturbances: readonly number[];
}

const stateSchema = z.strictObject({
  format: z.literal(format),
  run: z.string(),
  changes: z.array(z.array(z.strictObject({ name: z.string(), error: z.number(), size: z.number() }))),
  disturbances: z.array(z.number()),
});

/** The file in which a run, which is told by its name, keeps its state. */
export class SweepCheckpoint {
  readonly streamPath: string;
  readonly #path: string;
  readonly #run: string;

  constructor(path: string, run: string) {
    this.#path = path;
    this.#run = run;
    this.streamPath = `${path}.stream`;
  }

  /** What this run left; undefined if it left nothing, or another one did. */
  read(): SweepState | undefined {
    if (!existsSync(this.#path) || !existsSync(this.streamPath)) {
      return undefined;
    }
    let content: unknown;
    try {
      content = JSON.parse(readFileSync(this.#path, "utf8"));
    } catch {
      return undefined;
    }
    const { success, data } = stateSchema.safeParse(content);
    return success && data.run === this.#run ? data : undefined;
  }

  /** Returns when the state outlasts a power failure. */
  save(state: SweepState): void {
    const unfinished = `${this.#path}.new`;
    try {
      const file = openSync(unfinished, "w");
      try {
        writeSync(file, JSON.stringify({ format, run: this.#run, ...state }));
        fdatasyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(unfinished, this.#path);
    } catch (cause) {
      throw checkpointProblem(this.#path, cause);
    }
  }

  /** Removes what any run left. */
  remove(): void {
    for (const path of [this.#path, this.streamPath]) {
      rmSync(path, { force: true });
    }
  }
}
