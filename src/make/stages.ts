/**
 * Stages that are done once. A stage is skipped if what it depends on is what it was when it was last finished and
 * the files it left are still there as it left them; otherwise it is done again, and with it whatever depends on
 * what comes out.
 */
import { rm, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { sha256OfFile } from "../bytes/sha256.js";
import { CancelledError, type LopsidedError } from "../errors.js";
import type { OnProgress } from "../progress.js";
import { version } from "../version.js";
import { fingerprintOf } from "../write/fingerprint.js";
import type { MakeFolder } from "./folder.js";
import type { StageFile, StageRecord } from "./state.js";

export interface FileLeft {
  readonly path: string;
  readonly sha256?: string | undefined;
}

export interface Stage<T> {
  readonly name: string;
  /** All that the result depends on besides the version of Lopsided, by the name that a message uses. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** The work. The result is kept as JSON. */
  readonly run: (context: StageContext) => Promise<T>;
  /** The files that the work leaves, with their SHA-256 if the work found it already. */
  readonly files?: ((result: T) => readonly FileLeft[]) | undefined;
  /** Whether people may change the files: that is then no reason to make them again. */
  readonly mayBeEdited?: boolean | undefined;
}

export interface StageContext {
  /** Whether unfinished work of an interrupted run with the same inputs may lie about; other unfinished work is stale. */
  readonly continues: boolean;
  readonly onProgress: OnProgress;
}

export interface StageDone<T> {
  readonly result: T;
  /** SHA-256 of the files, in the order of `Stage.files`. */
  readonly sha256: readonly string[];
  readonly seconds: number;
}

/** What becomes of a stage: told when it begins and when it is over. */
export type StageEvent =
  | { readonly stage: string; readonly event: "begins"; readonly because: string | undefined }
  | { readonly stage: string; readonly event: "skipped" }
  /** What was decided about it, and what that costs: a sentence. */
  | { readonly stage: string; readonly event: "chosen"; readonly what: string }
  | { readonly stage: string; readonly event: "finished"; readonly seconds: number };

export interface StageListener {
  readonly onStage: (event: StageEvent) => void;
  readonly onProgress: OnProgress;
}

export class Stages {
  readonly #folder: MakeFolder;
  readonly #listener: StageListener;
  readonly #signal: AbortSignal | undefined;

  constructor(folder: MakeFolder, listener: StageListener, signal: AbortSignal | undefined) {
    this.#folder = folder;
    this.#listener = listener;
    this.#signal = signal;
  }

  /** Tells what was decided about a stage that is to be run. */
  chosen(stage: string, what: string): void {
    this.#listener.onStage({ stage, event: "chosen", what });
  }

  /** Does a stage, or finds it done. What it throws passes on; a stop says that the same command goes on. */
  async run<T>(stage: Stage<T>): Promise<StageDone<T>> {
    const { name, inputs } = stage;
    if (this.#signal?.aborted) {
      throw stopped(name);
    }
    const { state } = this.#folder;
    const fingerprint = Object.fromEntries(fingerprintOf(asTexts({ ...inputs, version })));
    const earlier = state.finished(name);
    const changed =
      earlier &&
      (differences(earlier.fingerprint, fingerprint) ??
        (await this.#changedFile(earlier, stage.mayBeEdited)));
    if (earlier !== undefined && changed === undefined) {
      this.#listener.onStage({ stage: name, event: "skipped" });
      return doneOf<T>(earlier);
    }
    const begun = state.underWay(name);
    const continues = begun !== undefined && differences(begun, fingerprint) === undefined;
    if (!continues) {
      await state.begin(name, fingerprint);
    }
    this.#listener.onStage({ stage: name, event: "begins", because: changed });
    const started = performance.now();
    const result = await this.#work(stage, continues);
    const files: StageFile[] = [];
    for (const file of stage.files?.(result) ?? []) {
      files.push(await this.#describe(file));
    }
    await this.#removeOutdated(name, earlier, files);
    const seconds = (performance.now() - started) / 1000;
    const record = { fingerprint, files, seconds, result: JSON.parse(JSON.stringify(result ?? null)) };
    await state.finish(name, record);
    this.#listener.onStage({ stage: name, event: "finished", seconds });
    return doneOf<T>(record);
  }

  /** Whether a stage with these inputs would be skipped, whatever its files. */
  isFinished(name: string, inputs: Stage<unknown>["inputs"]): boolean {
    const earlier = this.#folder.state.finished(name);
    const fingerprint = Object.fromEntries(fingerprintOf(asTexts({ ...inputs, version })));
    return earlier !== undefined && differences(earlier.fingerprint, fingerprint) === undefined;
  }

  async #work<T>({ name, run }: Stage<T>, continues: boolean): Promise<T> {
    try {
      return await run({ continues, onProgress: this.#listener.onProgress });
    } catch (error) {
      throw error instanceof CancelledError ? stopped(name, error) : error;
    }
  }

  /** Why a file that a stage left is not as it was; undefined if all are. */
  async #changedFile({ files }: StageRecord, mayBeEdited = false): Promise<string | undefined> {
    for (const { path, bytes, mtimeMs, sha256 } of files) {
      const absolute = join(this.#folder.path, path);
      const found = await stat(absolute).catch(() => undefined);
      if (found === undefined) {
        return `${path} is missing`;
      }
      if (mayBeEdited || (found.size === bytes && found.mtimeMs === mtimeMs)) {
        continue;
      }
      if (found.size !== bytes || (await sha256OfFile(absolute, this.#signal)) !== sha256) {
        return `${path} was changed`;
      }
    }
    return undefined;
  }

  async #describe({ path, sha256: known }: FileLeft): Promise<StageFile> {
    const sha256 = known ?? (await sha256OfFile(path, this.#signal));
    const { size, mtimeMs } = await stat(path);
    return { path: relative(this.#folder.path, path), bytes: size, mtimeMs, sha256 };
  }

  /** Files of the stage's last result that the new one does not have (another name, fewer parts). */
  async #removeOutdated(
    name: string,
    earlier: StageRecord | undefined,
    files: readonly StageFile[],
  ): Promise<void> {
    // Another stage may have made one anew.
    const others = this.#folder.state.filesOfOthers(name);
    for (const { path } of earlier?.files ?? []) {
      if (!files.some((file) => file.path === path) && !others.includes(path)) {
        await rm(join(this.#folder.path, path), { force: true });
      }
    }
  }
}

function doneOf<T>({ result, files, seconds }: StageRecord): StageDone<T> {
  // The same version of Lopsided wrote it: the version is part of the fingerprint.
  return { result: result as T, sha256: files.map(({ sha256 }) => sha256), seconds };
}

function asTexts(inputs: Readonly<Record<string, unknown>>): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, value]) => [
      name,
      value === undefined ? undefined : JSON.stringify(value),
    ]),
  );
}

/** What two fingerprints differ in, in words; undefined if in nothing. */
function differences(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): string | undefined {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  const different = [...names].filter((name) => before[name] !== now[name]);
  return different.length > 0 ? `${different.join(", ")} changed` : undefined;
}

/** The error for a run that the user stopped. */
export function stopped(stage?: string, cause?: LopsidedError): CancelledError {
  const where = stage === undefined ? "" : ` in ${stage}`;
  return new CancelledError(
    `stopped${where}; what is done is kept, and the same command goes on from there.`,
    { stage },
    { cause },
  );
}
