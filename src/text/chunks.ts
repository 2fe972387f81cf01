/**
 * A text in chunks, and the batches in which they are decoded: how llama-perplexity and llama-imatrix cut a text.
 * Chunks are disjoint and consecutive, several of them are decoded together as separate sequences, and nothing
 * is remembered from one to the next.
 */
import type { SequenceTokens } from "../engine/batch.js";
import { UsageError } from "../errors.js";

export interface TextChunks {
  /** Tokens in a chunk. */
  readonly context: number;
  readonly chunks: number;
  /** Tokens of all chunks, one chunk after the other. */
  readonly tokens: Int32Array;
}

/** One decode. */
export interface ChunkBatch {
  /** Chunks [first, end) take part. */
  readonly first: number;
  readonly end: number;
  /** Whether the chunks begin here: the memory of earlier ones is to be cleared. */
  readonly begins: boolean;
  /** Whether the chunks are complete after this decode. */
  readonly ends: boolean;
  readonly sequences: readonly SequenceTokens[];
  /** Where each row of logits belongs, in order. */
  readonly rows: readonly { readonly chunk: number; readonly position: number }[];
}

export interface BatchOptions {
  /** Chunks decoded together. */
  readonly sequences: number;
  /** Most tokens in one decode; a longer chunk is decoded in pieces. */
  readonly batchSize: number;
  /** Position in a chunk from which on logits are wanted: the same in all, or by the chunk's number. */
  readonly logitsFrom: number | ((chunk: number) => number);
  /** Put in place of each chunk's first token, for decoding only: the BOS token of vocabularies that want one. */
  readonly startToken?: number | undefined;
  /** Chunk to begin with; 0 by default. */
  readonly from?: number;
}

/** Tokens in a decode, as in llama.cpp's tools. */
export const batchTokens = 2048;
/** Logits that a decode may leave, in bytes: a vocabulary of 152 000 tokens takes 0.6 MB at each position. */
const logitsLimit = 2 ** 30;

/**
 * Cuts tokens into chunks; what is left over at the end is dropped. Throws a UsageError if they do not suffice
 * for two chunks, below which llama.cpp's tools refuse too.
 */
export function cutIntoChunks(
  textName: string,
  tokens: Int32Array,
  { context, chunks = Infinity }: { readonly context: number; readonly chunks?: number | undefined },
): TextChunks {
  if (tokens.length < 2 * context) {
    throw new UsageError(
      `${textName}: has ${tokens.length} tokens, but two chunks of ${context} need ${2 * context}. Use a longer text, or chunks of at most ${Math.floor(tokens.length / 2)} tokens (\`ctx\`).`,
      { file: textName, tokens: tokens.length },
    );
  }
  const count = Math.min(chunks, Math.floor(tokens.length / context));
  return { context, chunks: count, tokens: tokens.slice(0, count * context) };
}

/**
 * Architectures whose sequences llama.cpp v0.5.0 does not keep apart in one batch: lightning attention of quantized
 * weights aborts (`ne13 == 1` in ggml-cpu's `repack.cpp`), diffusion models without a cache compute other logits.
 */
const decodedAlone: ReadonlySet<string> = new Set(["minimax-01", "llada", "llada-moe", "dream", "rnd1"]);

/** What is known of a model that texts are run through. */
export interface RunModel {
  readonly architecture: string;
  readonly vocabularySize: number;
}

/** How many chunks to decode together: as many as a batch holds and as their logits leave room for. */
export function sequencesTogether(
  context: number,
  logitsPerChunk: number,
  { architecture, vocabularySize }: RunModel,
): number {
  if (decodedAlone.has(architecture)) {
    return 1;
  }
  const byLogits = Math.floor(logitsLimit / (4 * vocabularySize * logitsPerChunk));
  return Math.max(1, Math.min(Math.floor(batchTokens / context), byLogits));
}

/** The decodes that a text takes, in order. */
export function* batchesOf(text: TextChunks, options: BatchOptions): Generator<ChunkBatch> {
  const { context, chunks } = text;
  const { logitsFrom: wanted } = options;
  const pieces = Math.ceil(context / options.batchSize);
  for (let first = options.from ?? 0; first < chunks; first += options.sequences) {
    const end = Math.min(first + options.sequences, chunks);
    for (let piece = 0; piece < pieces; piece++) {
      const start = piece * options.batchSize;
      const stop = Math.min(start + options.batchSize, context);
      const sequences: SequenceTokens[] = [];
      const rows: { chunk: number; position: number }[] = [];
      for (let chunk = first; chunk < end; chunk++) {
        const from = typeof wanted === "number" ? wanted : wanted(chunk);
        const logitsFrom = Math.min(Math.max(from, start), stop);
        sequences.push({
          sequence: chunk - first,
          position: start,
          tokens: chunkTokens(text, chunk, start, stop, options.startToken),
          logitsFrom: logitsFrom - start,
        });
        for (let position = logitsFrom; position < stop; position++) {
          rows.push({ chunk, position });
        }
      }
      yield { first, end, begins: piece === 0, ends: piece === pieces - 1, sequences, rows };
    }
  }
}

function chunkTokens(
  { tokens, context }: TextChunks,
  chunk: number,
  start: number,
  stop: number,
  startToken: number | undefined,
): Int32Array {
  const piece = tokens.slice(chunk * context + start, chunk * context + stop);
  if (start === 0 && startToken !== undefined) {
    piece[0] = startToken;
  }
  return piece;
}
