/** A pass over the text beside the model that collects moments only; the first pass goes along with the imatrix. */

import { type DecodeTextParams, decodeText, openText } from "../activations/decode-text.js";
import { shownName } from "../bytes/address.js";
import { defineJob, type JobHost } from "../engine/job.js";
import { defaultThreads } from "../engine/threads.js";
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

export interface MomentsParams extends DecodeTextParams {
  readonly pass: MomentsPass;
}

/** Collects one pass; returns the seconds it took, without loading. */
export const collectMoments = defineJob(
  import.meta.url,
  "collectMoments",
  async (params: MomentsParams, host: JobHost<{ done: number; total: number }>): Promise<number> => {
    const opened = await openText(params, host);
    return collectPass(params.pass, params, host, opened.text.chunks, (collector) =>
      decodeText(opened, params, host, { observers: [collector] }),
    );
  },
);

/** Shows a collector what `decode` computes, and writes what it has collected; returns what `decode` does. */
export async function collectPass<T>(
  { inputs, output, run }: MomentsPass,
  { text, context, threads = defaultThreads() }: DecodeTextParams,
  { isCancelled }: Pick<JobHost, "isCancelled">,
  chunkCount: number,
  decode: (collector: MomentsCollector) => Promise<T>,
): Promise<T> {
  const pool = await AccumulatorPool.start(inputs, threads, isCancelled);
  try {
    const result = await decode(new MomentsCollector(inputs, pool));
    await pool.finish();
    const contents = [...pool.entries].map(([name, { columns, counts, sums }]) => ({
      name,
      columns,
      counts,
      matrix: (index: number) => sums[index] ?? new Float32Array(),
    }));
    await writeMomentsFile(
      output,
      { datasets: [shownName(text)], chunkCount, chunkSize: context, run },
      contents,
    );
    return result;
  } finally {
    await pool.close();
  }
}
