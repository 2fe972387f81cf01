/** Collecting moments beside the model: along with the imatrix, and in passes over the text of their own. */

import { raiseLayer } from "../activations/operands.js";
import {
  openText,
  type RunTextParams,
  runText,
  runTextFiles,
  type TextHost,
} from "../activations/run-text.js";
import { shownName } from "../bytes/address.js";
import { defineJob, type JobHost } from "../engine/job.js";
import { joinFiles } from "../engine/job-files.js";
import type { Observer } from "../engine/observer.js";
import { defaultThreads } from "../engine/threads.js";
import type { WindowRange } from "../model/layer-window.js";
import { AccumulatorPool } from "./accumulator-pool.js";
import { MomentsCollector } from "./collector.js";
import { writeMomentsFile } from "./file.js";
import type { PlannedInput } from "./plan.js";

/** What a pass collects and where its file goes. */
export interface MomentsPass {
  readonly inputs: readonly PlannedInput[];
  readonly output: string;
  /** Which run and pass, so that only the same one is continued. */
  readonly run: string;
}

export interface MomentsParams extends RunTextParams {
  readonly pass: MomentsPass;
}

/** Collects one pass of a model that is run in one piece; returns the seconds it took, without loading. */
export const collectMoments = defineJob(
  import.meta.url,
  "collectMoments",
  (params) => joinFiles(runTextFiles(params), { writes: [params.pass.output] }),
  async (params: MomentsParams, host: TextHost): Promise<number> => {
    const opened = await openText(params, host);
    const moments = new WindowMoments({ ...params, moments: [params.pass] }, host, opened.text.chunks);
    try {
      return await runText(opened, params, host, {
        observersOf: (range, window) => moments.begin(range, window),
        onWindow: (window) => moments.end(window),
      });
    } finally {
      await moments.close();
      opened.sweep.close();
    }
  },
);

type WindowMomentsParams = Pick<RunTextParams, "text" | "context" | "threads"> & {
  /** What each window collects, if anything. */
  readonly moments?: readonly (MomentsPass | undefined)[] | undefined;
};

/** Moments of one window after the other: only those of a window's layers are in memory. */
export class WindowMoments {
  readonly #params: WindowMomentsParams;
  readonly #isCancelled: JobHost["isCancelled"];
  readonly #chunkCount: number;
  #pool: AccumulatorPool | undefined;

  constructor(params: WindowMomentsParams, host: Pick<JobHost, "isCancelled">, chunkCount: number) {
    this.#params = params;
    this.#isCancelled = host.isCancelled;
    this.#chunkCount = chunkCount;
  }

  /** Who is to watch a window. */
  async begin({ from }: WindowRange, window: number): Promise<readonly Observer[]> {
    const pass = this.#params.moments?.[window];
    if (pass === undefined) {
      return [];
    }
    const { threads = defaultThreads() } = this.#params;
    this.#pool = await AccumulatorPool.start(pass.inputs, threads, this.#isCancelled);
    const inputs = pass.inputs.map((input) => ({ ...input, weight: raiseLayer(input.weight, -from) }));
    return [new MomentsCollector(inputs, this.#pool)];
  }

  /** Writes what a window has collected. */
  async end(window: number): Promise<void> {
    const [pool, pass] = [this.#pool, this.#params.moments?.[window]];
    if (pool === undefined || pass === undefined) {
      return;
    }
    await pool.finish();
    const contents = [...pool.entries].map(([name, { columns, counts, sums }]) => ({
      name,
      columns,
      counts,
      matrix: (index: number) => sums[index] ?? new Float32Array(),
    }));
    const { text, context } = this.#params;
    const facts = {
      datasets: [shownName(text.path)],
      chunkCount: this.#chunkCount,
      chunkSize: context,
      run: pass.run,
    };
    await writeMomentsFile(pass.output, facts, contents);
    await this.close();
  }

  async close(): Promise<void> {
    await this.#pool?.close();
    this.#pool = undefined;
  }
}
