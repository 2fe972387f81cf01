/**
 * Unfinished work of a sweep: how far it is, and what the windows so far have told. One file that is replaced as a
 * whole; the streams that leave the last window lie beside it. Everything happens before the next window is begun,
 * which writes over what entered the one before.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { z } from "zod";
import { replaceCheckpoint } from "../../activations/checkpoint-file.js";

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

  /** Returns when the state outlasts a power failure. Errors: see `replaceCheckpoint`. */
  async save(state: SweepState): Promise<void> {
    await replaceCheckpoint(this.#path, [Buffer.from(JSON.stringify({ format, run: this.#run, ...state }))]);
  }

  /** Removes what any run left. */
  remove(): void {
    for (const path of [this.#path, this.streamPath]) {
      rmSync(path, { force: true });
    }
  }
}
