/**
 * What a folder knows of the stages that were finished in it: `.lopsided/state.json`. Every change replaces the
 * file as a whole, so that a kill leaves the state before or the one after.
 */
import { z } from "zod";
import { OutputFile } from "../bytes/output.js";
import { readWholeText } from "../bytes/text-file.js";
import { parseJsonAs } from "../bytes/typed-json.js";

const fingerprintSchema = z.record(z.string(), z.string());

const recordSchema = z.object({
  /** SHA-256 of each thing that the stage depended on, by name. */
  fingerprint: fingerprintSchema,
  /** The files it left, with how they were found to be unchanged. */
  files: z.array(z.object({ path: z.string(), bytes: z.number(), mtimeMs: z.number(), sha256: z.string() })),
  /** Time that it took, interrupted runs not counted. */
  seconds: z.number(),
  result: z.json(),
});

const stateSchema = z.object({
  format: z.literal("lopsided make 1"),
  stages: z.record(z.string(), recordSchema),
  /** Stages that were begun and not finished, with what they depended on. */
  underWay: z.record(z.string(), fingerprintSchema),
});

export type StageRecord = z.infer<typeof recordSchema>;
export type StageFile = StageRecord["files"][number];
type State = z.infer<typeof stateSchema>;

/** Real ones have some ten thousand bytes. */
const largestState = 2 ** 26;

export class MakeState {
  readonly #path: string;
  readonly #state: State;

  private constructor(path: string, state: State) {
    this.#path = path;
    this.#state = state;
  }

  /** Reads the state; one that is missing or damaged is that of a new folder: everything is then done again. */
  static async open(path: string): Promise<MakeState> {
    const text = await readWholeText(path, largestState).catch(() => "");
    return new MakeState(path, parseState(text) ?? { format: "lopsided make 1", stages: {}, underWay: {} });
  }

  /** What is known of a stage that was finished. */
  finished(stage: string): StageRecord | undefined {
    return this.#state.stages[stage];
  }

  /** Files of all finished stages, relative to the folder. */
  files(): string[] {
    return Object.values(this.#state.stages).flatMap(({ files }) => files.map(({ path }) => path));
  }

  /** Files of the finished stages but this one. */
  filesOfOthers(name: string): string[] {
    return Object.entries(this.#state.stages).flatMap(([stage, { files }]) =>
      stage === name ? [] : files.map(({ path }) => path),
    );
  }

  /** What a stage that was begun and not finished depended on. */
  underWay(stage: string): Readonly<Record<string, string>> | undefined {
    return this.#state.underWay[stage];
  }

  /** Names of the stages that were begun and not finished. */
  stagesUnderWay(): string[] {
    return Object.keys(this.#state.underWay);
  }

  /** Notes that a stage begins: what it leaves when it is interrupted belongs to this fingerprint. */
  async begin(stage: string, fingerprint: Readonly<Record<string, string>>): Promise<void> {
    this.#state.underWay[stage] = { ...fingerprint };
    await this.#save();
  }

  async finish(stage: string, record: StageRecord): Promise<void> {
    delete this.#state.underWay[stage];
    this.#state.stages[stage] = record;
    await this.#save();
  }

  /** Forgets the stages that were begun, never finished, and are no longer part of what is made. */
  async forgetUnderWay(): Promise<void> {
    if (this.stagesUnderWay().length === 0) {
      return;
    }
    this.#state.underWay = {};
    await this.#save();
  }

  /** Forgets a stage, as if it had never been done. */
  async forget(stage: string): Promise<void> {
    delete this.#state.stages[stage];
    await this.#save();
  }

  async #save(): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(this.#state)}\n`);
    const output = await OutputFile.continue(this.#path, bytes.byteLength);
    try {
      await output.write(0, bytes);
      await output.commit();
    } finally {
      await output.discard();
    }
  }
}

function parseState(text: string): State | undefined {
  try {
    return parseJsonAs(stateSchema, text, "state.json", { kind: "a state", advice: "start over" });
  } catch {
    return undefined;
  }
}
