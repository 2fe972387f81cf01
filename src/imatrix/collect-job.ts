/** The part of an imatrix run that happens beside the model: decode the chunks, collect, save what is there. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { defineJob, type JobHost } from "../engine/job.js";
import type { Model, ModelOptions } from "../engine/model.js";
import {
  batchesOf,
  batchTokens,
  cutIntoChunks,
  sequencesTogether,
  type TextChunks,
} from "../evaluate/chunks.js";
import { readText } from "../evaluate/text.js";
import { readCheckpoint, runName, writeCheckpoint } from "./checkpoint.js";
import { type CollectorOptions, ImatrixCollector } from "./collector.js";
import type { Imatrix } from "./imatrix.js";

export interface CollectParams extends CollectorOptions {
  readonly model: ModelOptions;
  /** Path of the calibration text. */
  readonly text: string;
  /** Tokens in a chunk. */
  readonly context: number;
  /** Most chunks; all of the text if undefined. */
  readonly chunks: number | undefined;
  /** Read control tokens in the text as such. */
  readonly parseSpecial: boolean;
  /** Threads; all by default. */
  readonly threads: number | undefined;
  /** Where the statistics are saved, under way and at the end. */
  readonly checkpoint: string;
  /** Chunks between two savings. */
  readonly saveEvery: number;
}

export interface CollectResult {
  readonly chunks: number;
  /** Chunks that an earlier run had done. */
  readonly resumedFrom: number;
  /** Time of this run's chunks, without loading. */
  readonly seconds: number;
}

/** Chunks done, of how many. */
export interface CollectEvent {
  readonly done: number;
  readonly total: number;
}

/** Collects the statistics of a text into the checkpoint file; continues from it if it is of the same run. */
export const collectImatrix = defineJob(
  import.meta.url,
  "collectImatrix",
  async (params: CollectParams, host: JobHost<CollectEvent>): Promise<CollectResult> => {
    const bytes = await readText(params.text);
    const model = host.model(params.model);
    const tokens = model.tokenize(bytes, { parseSpecial: params.parseSpecial });
    const text = cutIntoChunks(params.text, tokens, params);
    return collect(model, text, await describeRun(params, text), params, host);
  },
);

async function collect(
  model: Model,
  text: TextChunks,
  run: string,
  params: CollectParams,
  host: JobHost<CollectEvent>,
): Promise<CollectResult> {
  const { addsBos, bosToken, vocabularySize } = model.facts;
  const sequences = sequencesTogether(text.context, text.context, vocabularySize);
  const earlier = await readCheckpoint(params.checkpoint, run);
  const fits = earlier !== undefined && canContinue(earlier.chunkCount, text.chunks, sequences);
  const from = fits ? earlier.chunkCount : 0;
  const collector = new ImatrixCollector(params, fits ? earlier.entries : undefined);
  const save = (chunkCount: number) => {
    collector.checkFinite(params.model.path);
    return writeCheckpoint(params.checkpoint, {
      ...emptyImatrix(params),
      entries: collector.entries,
      chunkCount,
      run,
    });
  };
  const context = model.createContext({
    contextLength: text.context,
    sequences,
    batchSize: batchTokens,
    observers: [collector],
    ...(params.threads === undefined ? {} : { threads: params.threads }),
  });
  host.emit({ done: from, total: text.chunks });
  const begin = performance.now();
  try {
    let saved = from;
    const startToken = addsBos ? bosToken : undefined;
    // Logits everywhere: otherwise the last layer computes only the tokens whose logits are wanted.
    const options = { sequences, batchSize: context.batchSize, logitsFrom: 0, startToken, from };
    for (const batch of batchesOf(text, options)) {
      if (batch.begins) context.clear();
      context.decode(batch.sequences);
      if (!batch.ends) continue;
      context.synchronize();
      if (Math.floor(batch.end / params.saveEvery) > Math.floor(saved / params.saveEvery)) {
        await save(batch.end);
        saved = batch.end;
      }
      host.emit({ done: batch.end, total: text.chunks });
    }
    if (saved < text.chunks) await save(text.chunks);
  } finally {
    context.close();
  }
  return { chunks: text.chunks, resumedFrom: from, seconds: (performance.now() - begin) / 1000 };
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
