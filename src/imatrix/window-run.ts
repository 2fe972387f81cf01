/**
 * A run over a calibration text that stands still between windows: what effort max must know of the inputs of a window's
 * weights is there from when the window has been run until the next one is, and nothing else is kept but the sums of the
 * importance matrix and the residual stream.
 */
import { rm } from "node:fs/promises";
import type { RunProgress } from "../activations/run-text.js";
import { runWithWindows } from "../activations/window-server.js";
import { Engine } from "../engine/engine.js";
import { EnvironmentError, InternalError, LopsidedError } from "../errors.js";
import { KeptFile } from "../kept/file.js";
import { windowKeptPath } from "../kept/writer.js";
import type { WindowRange } from "../model/layer-window.js";
import { type OpenOptions, openModelToRun } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import type { MomentsPass } from "../moments/collect-job.js";
import { isDone } from "../moments/passes.js";
import { readCheckpoint } from "./checkpoint.js";
import { collectImatrix } from "./collect-job.js";
import { checkPaths, countsOf, type ImatrixResult, writeCollected } from "./compute.js";
import { readImatrixFile } from "./file.js";
import type { Imatrix } from "./imatrix.js";
import { type ImatrixOptions, imatrixCommand } from "./imatrix-command.js";
import { jobOptions, type PlannedRun, planRun } from "./plan-run.js";

type Settings = ReturnType<typeof imatrixCommand.read>;

/** What is there of a window that has been run. */
export interface WindowStatistics {
  /** Sums up to this window's. */
  readonly imatrix: Imatrix;
  /** Path of a file with the moments of the window's inputs, if it has such. */
  readonly moments: string | undefined;
  /** Path of a file with the activations of the window's layers, if it has such, and the mark that it bears. */
  readonly activations: string | undefined;
  readonly run: string;
}

/** Close it at the end. What it leaves beside `output` until then is the caller's to remove. */
export class WindowRun {
  readonly #options: Settings;
  readonly #engine: Engine;
  readonly #source: ModelSource;
  readonly #params: PlannedRun["params"];
  readonly #passes: PlannedRun["passes"];
  /** Windows of layers, in order. */
  readonly windows: readonly WindowRange[];
  #begun: { readonly chunks: number; readonly run: string } | undefined;
  #resumedFrom: number | undefined;
  #seconds = 0;

  private constructor(
    options: Settings,
    engine: Engine,
    source: ModelSource,
    { params, passes }: PlannedRun,
    windows: readonly WindowRange[],
  ) {
    this.#options = options;
    this.#engine = engine;
    this.#source = source;
    this.#params = params;
    this.#passes = passes;
    this.windows = windows;
  }

  /**
   * Plans a run of `imatrix` with these options in windows as small as they can be. Of `moments` and `activations` it
   * makes no files but those of a window, which have longer names. Errors: see `imatrix`.
   * @param reading how the model is read
   */
  static async open(given: ImatrixOptions, reading: OpenOptions = {}): Promise<WindowRun> {
    const options = imatrixCommand.read({ ...given, layersPerWindow: 1 });
    await checkPaths(options);
    const engine = options.engine ?? new Engine();
    const source = await openModelToRun(options.model, { ...reading, signal: options.signal });
    try {
      const { params, passes } = await planRun(options, source, engine);
      const { windows } = params.model;
      if (windows === undefined) {
        throw new InternalError(`${options.model}: its layers cannot be run by themselves.`);
      }
      const kept = params.kept && { ...params.kept, isApart: true };
      const planned = { params: { ...params, kept }, passes };
      return new WindowRun(options, engine, source, planned, windows.ranges);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** The window that a layer is run in; layers that are not run count to the last. */
  windowOf(layer: number): number {
    const found = this.windows.findIndex(({ from, to }) => layer >= from && layer < to);
    return found < 0 ? this.windows.length - 1 : found;
  }

  /**
   * What is known of a window's inputs. Runs the text through it, and through those before it that have not been run,
   * unless an earlier run has; what is there of other windows is removed.
   */
  async statisticsOf(window: number): Promise<WindowStatistics> {
    for (const other of this.windows.keys()) {
      if (other !== window) {
        await this.#remove(other);
      }
    }
    const imatrix = (await this.#finished(window)) ?? (await this.#runTo(window));
    const { output: moments } = this.#passes[window] ?? {};
    const { run } = await this.#begin();
    return { imatrix, moments, activations: this.#activationsOf(window), run };
  }

  /** Writes the importance matrix and reads it back, once all windows have been run: those that have not been are. */
  async finish(): Promise<{ readonly result: ImatrixResult; readonly imatrix: Imatrix }> {
    const last = this.windows.length - 1;
    const sums = (await this.#sumsAfter(last)) ?? (await this.#runTo(last));
    const file = await writeCollected(this.#options, sums, []);
    const { chunks } = await this.#begin();
    const counts = { chunks, resumedFrom: this.#resumedFrom ?? chunks, seconds: this.#seconds };
    return {
      result: { ...file, ...countsOf(counts, this.#options.ctx) },
      imatrix: await readImatrixFile(file.output),
    };
  }

  async close(): Promise<void> {
    await this.#source.close();
    if (this.#options.engine === undefined) {
      await this.#engine.close();
    }
  }

  /** How many chunks the text has, and the name of the run. */
  async #begin(): Promise<{ readonly chunks: number; readonly run: string }> {
    this.#begun ??= await this.#job({ windowsWanted: 0 });
    return this.#begun;
  }

  async #runTo(window: number): Promise<Imatrix> {
    const pass = this.#passes[window];
    const isMissing = pass !== undefined && !(await isDone(pass));
    const moments = this.windows.map((_, index) => (index === window && isMissing ? pass : undefined));
    const { resumedFrom, seconds } = await this.#job({ windowsWanted: window + 1, moments });
    this.#resumedFrom ??= resumedFrom;
    this.#seconds += seconds;
    const sums = await this.#sumsAfter(window);
    if (sums === undefined) {
      const { checkpoint } = this.#params;
      throw new EnvironmentError(
        `${checkpoint}: the sums that were saved here cannot be read back. Look at the disk or write elsewhere, and run the same command again.`,
        { file: checkpoint },
      );
    }
    return sums;
  }

  async #job(params: { windowsWanted: number; moments?: readonly (MomentsPass | undefined)[] }) {
    const running = jobOptions(this.#options, 1)(1);
    const onEvent = (progress: RunProgress) => params.windowsWanted > 0 && running.onEvent(progress);
    return await runWithWindows(
      this.#engine,
      collectImatrix,
      { ...this.#params, ...params },
      [this.#source],
      { ...running, onEvent },
    );
  }

  /** The sums if a window has been run and all is there that was collected of it. */
  async #finished(window: number): Promise<Imatrix | undefined> {
    const { run } = await this.#begin();
    const pass = this.#passes[window];
    const activations = this.#activationsOf(window);
    const isThere =
      (pass === undefined || (await isDone(pass))) &&
      (activations === undefined || (await isReadable(activations, run)));
    return isThere ? await this.#sumsAfter(window) : undefined;
  }

  /** The checkpoint's sums if it is of a place after this window. */
  async #sumsAfter(window: number): Promise<Imatrix | undefined> {
    const { chunks, run } = await this.#begin();
    const sums = await readCheckpoint(this.#params.checkpoint, run);
    const { window: place = 0, chunkCount = 0 } = sums ?? {};
    const isLast = window === this.windows.length - 1;
    return (isLast ? place === window && chunkCount === chunks : place > window) ? sums : undefined;
  }

  #activationsOf(window: number): string | undefined {
    const { from, to } = this.windows[window] ?? { from: 0, to: 0 };
    const { path, inputs = [] } = this.#params.kept ?? {};
    const isKept = inputs.some(({ layer }) => layer >= from && layer < to);
    return path !== undefined && isKept ? windowKeptPath(path, from) : undefined;
  }

  async #remove(window: number): Promise<void> {
    for (const path of [this.#passes[window]?.output, this.#activationsOf(window)]) {
      if (path !== undefined) {
        await rm(path, { force: true });
      }
    }
  }
}

async function isReadable(path: string, run: string): Promise<boolean> {
  try {
    const file = await KeptFile.open(path, run);
    await file.close();
    return true;
  } catch (error) {
    if (error instanceof LopsidedError) {
      return false;
    }
    throw error;
  }
}
