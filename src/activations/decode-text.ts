/** Running a model over a calibration text with observers watching: what collecting an imatrix and moments share. */
import type { JobHost } from "../engine/job.js";
import type { Model, ModelOptions } from "../engine/model.js";
import type { Observer } from "../engine/observer.js";
import { batchesOf, batchTokens, cutIntoChunks, sequencesTogether, type TextChunks } from "../text/chunks.js";
import { readText, tokensOf } from "../text/text.js";

export interface DecodeTextParams {
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
}

/** A loaded model and its text in chunks. */
export interface OpenText {
  readonly model: Model;
  readonly text: TextChunks;
  /** Chunks decoded together. */
  readonly sequences: number;
}

/** Loads the model, tokenizes the text and cuts it into chunks. */
export async function openText(params: DecodeTextParams, host: Pick<JobHost, "model">): Promise<OpenText> {
  const bytes = await readText(params.text, tokensOf(params));
  const model = host.model(params.model);
  const tokens = model.tokenize(bytes, { parseSpecial: params.parseSpecial });
  const text = cutIntoChunks(params.text, tokens, params);
  const sequences = sequencesTogether(text.context, text.context, model.facts.vocabularySize);
  return { model, text, sequences };
}

/** Chunks done, of how many. */
export interface DecodeProgress {
  readonly done: number;
  readonly total: number;
}

export interface DecodeTextOptions {
  readonly observers: readonly Observer[];
  /** Chunk to begin with; 0 by default. */
  readonly from?: number;
  /** Told when chunks up to `done` are complete and everything is computed. */
  readonly onDone?: (done: number) => Promise<void>;
}

/** Decodes the text's chunks; returns the seconds that took. */
export async function decodeText(
  { model, text, sequences }: OpenText,
  params: DecodeTextParams,
  host: JobHost<DecodeProgress>,
  { observers, from = 0, onDone }: DecodeTextOptions,
): Promise<number> {
  const { addsBos, bosToken } = model.facts;
  const context = model.createContext({
    contextLength: text.context,
    sequences,
    batchSize: batchTokens,
    observers,
    ...(params.threads === undefined ? {} : { threads: params.threads }),
  });
  host.emit({ done: from, total: text.chunks });
  const begin = performance.now();
  try {
    const startToken = addsBos ? bosToken : undefined;
    // Logits everywhere: otherwise the last layer computes only the tokens whose logits are wanted.
    const options = { sequences, batchSize: context.batchSize, logitsFrom: 0, startToken, from };
    for (const batch of batchesOf(text, options)) {
      if (batch.begins) {
        context.clear();
      }
      context.decode(batch.sequences);
      if (!batch.ends) {
        continue;
      }
      context.synchronize();
      await onDone?.(batch.end);
      host.emit({ done: batch.end, total: text.chunks });
    }
  } finally {
    context.close();
  }
  return (performance.now() - begin) / 1000;
}
