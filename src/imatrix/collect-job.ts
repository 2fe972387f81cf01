/** The part of an imatrix run that happens beside the model: decode the chunks, collect, save what is there. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import {
  type DecodeProgress,
  type DecodeTextParams,
  decodeText,
  type OpenText,
  openText,
} from "../activations/decode-text.js";
import { defineJob, type JobHost } from "../engine/job.js";
import type { Observer } from "../engine/observer.js";
import { collectPass, type MomentsPass } from "../moments/collect-job.js";
import type { TextChunks } from "../text/chunks.js";
import { readCheckpoint, runName, writeCheckpoint } from "./checkpoint.js";
import { type CollectorOptions, ImatrixCollector } from "./collector.js";
import type { Imatrix } from "./imatrix.js";

export interface CollectParams extends CollectorOptions, DecodeTextParams {
  /** Where the statistics are saved, under way and at the end. */
  readonly checkpoint: string;
  /** Chunks between two savings. */
  readonly saveEvery: number;
  /** Moments to collect along with the importance matrix. */
  readonly moments?: MomentsPass | undefined;
}

export interface CollectResult {
  readonly chunks: number;
  /** Chunks that an earlier run had done. */
  readonly resumedFrom: number;
  /** Time of this run's chunks, without loading. */
  readonly seconds: number;
}

/** Collects the statistics of a text into the checkpoint file; continues from it if it is of the same run. */
export const collectImatrix = defineJob(
  import.meta.url,
  "collectImatrix",
  async (params: CollectParams, host: JobHost<DecodeProgress>): Promise<CollectResult> => {
    const opened = await openText(params, host);
    return collect(opened, await describeRun(params, opened.text), params, host);
  },
);

async function collect(
  opened: OpenText,
  run: string,
  params: CollectParams,
  host: JobHost<DecodeProgress>,
): Promise<CollectResult> {
  const { chunks } = opened.text;
  const earlier = await readCheckpoint(params.checkpoint, run);
  const fits = earlier !== undefined && canContinue(earlier.chunkCount, chunks, opened.sequences);
  // Moments are not saved under way: a pass that collects some starts at the beginning.
  const from = fits && params.moments === undefined ? earlier.chunkCount : 0;
  const collector = new ImatrixCollector(params, from > 0 ? earlier?.entries : undefined);
  const save = (chunkCount: number) => {
    collector.checkFinite(params.model.path);
    return writeCheckpoint(params.checkpoint, {
      ...emptyImatrix(params),
      entries: collector.entries,
      chunkCount,
      run,
    });
  };
  let saved = from;
  const decode = (observers: readonly Observer[]) =>
    decodeText(opened, params, host, {
      observers,
      from,
      async onDone(done) {
        if (Math.floor(done / params.saveEvery) === Math.floor(saved / params.saveEvery)) {
          return;
        }
        await save(done);
        saved = done;
      },
    });
  const { moments } = params;
  const seconds = await (moments
    ? collectPass(moments, params, host, chunks, (observer) => decode([collector, observer]))
    : decode([collector]));
  if (saved < chunks) {
    await save(chunks);
  }
  return { chunks, resumedFrom: from, seconds };
}

/** Chunks are decoded in the same groups as without interruption, so that the sums come out the same. */
function canContinue(done: number, total: number, sequences: number): boolean {
  return done <= total && (done % sequences === 0 || done === total);
}

function emptyImatrix({ text, context, checkpoint }: CollectParams): Imatrix {
  return {
    name: checkpoint,
    format: "gguf",
    entries: new Map(),
    datasets: [text],
    chunkCount: 0,
    chunkSize: context,
    priorWeight: undefined,
  };
}

/** Everything that the statistics depend on, except how many chunks. */
async function describeRun(params: CollectParams, text: TextChunks): Promise<string> {
  const { size, mtimeMs } = await stat(params.model.path);
  const { processOutput, context } = params;
  return runName({ model: resolve(params.model.path), size, mtimeMs, processOutput, context }, text.tokens);
}
