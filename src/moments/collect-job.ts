/** A pass over the text beside the model that collects moments only; the first pass goes along with the imatrix. */
import { defineJob, type JobHost } from "../engine/job.js";
import { type DecodeTextParams, decodeText, openText } from "../imatrix/decode-text.js";
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
    const collector = new MomentsCollector(params.pass.inputs);
    const seconds = await decodeText(opened, params, host, { observers: [collector] });
    await saveMoments(collector, params.pass, params, opened.text.chunks);
    return seconds;
  },
);

/** Writes what a collector has. */
export async function saveMoments(
  collector: MomentsCollector,
  { output, run }: MomentsPass,
  { text, context }: DecodeTextParams,
  chunkCount: number,
): Promise<void> {
  const contents = [...collector.entries].map(([name, { columns, counts, sums }]) => ({
    name,
    columns,
    counts,
    matrix: (index: number) => sums[index] ?? new Float32Array(),
  }));
  await writeMomentsFile(output, { datasets: [text], chunkCount, chunkSize: context, run }, contents);
}
