/**
 * llama-perplexity's base file: the reference model's log-probabilities, quantized to 16 bits over at most 16
 * nats. Layout (little-endian), as `tools/perplexity/perplexity.cpp` writes it:
 *
 *     "_logits_", int32 context, int32 vocabulary, int32 chunks, int32 tokens[chunks x context]
 *     per chunk, per scored position: float32 scale, float32 lowest,
 *         uint16 codes[vocabulary rounded up to an even number]
 *
 * A log-probability is scale x code + lowest. The tokens are those of the text: a start token that replaces the
 * first one for decoding is not stored.
 */
import type { ByteSource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import type { RowScore } from "../reduce/reducer.js";
import { scoredPerChunk } from "./perplexity.js";
import { expOfNegative, indexOfMax, scoreRow } from "./softmax.js";

const magic = "_logits_";
const headerBytes = 20;
/** Nats below the top token that are kept; what is further down is stored as if it were there. */
const range = 16;
const codes = 65535;
/** Vocabularies have 10^5 tokens, contexts at most 10^7. */
const largestSize = 2 ** 28;

/** Rows are read together in stretches of about this many bytes. */
const stretchBytes = 2 ** 20;

/** What the file is about, before its rows. */
export interface LogitsBaseHeader {
  /** Tokens in a chunk. */
  readonly context: number;
  /** Tokens in the vocabulary. */
  readonly vocabulary: number;
  readonly chunks: number;
  /** Tokens of the text, chunk after chunk. */
  readonly tokens: Int32Array;
}

/** One position: log-probability of token t is `scale` x `codes[t]` + `lowest`. */
export interface LogitsBaseRow {
  readonly scale: number;
  readonly lowest: number;
  readonly codes: Uint16Array;
}

/** Bytes of a row. */
export function rowByteLength(vocabulary: number): number {
  return 8 + 2 * (vocabulary + (vocabulary % 2));
}

/** Bytes of a whole file. */
export function fileByteLength(header: Omit<LogitsBaseHeader, "tokens">): number {
  const { context, vocabulary, chunks } = header;
  return headerBytes + 4 * chunks * context + chunks * scoredPerChunk(context) * rowByteLength(vocabulary);
}

/** A base file open for reading; only about a megabyte of its rows is in memory. */
export class LogitsBase {
  /** Bytes of the rows [stretchStart, stretchEnd). */
  #stretch: Uint8Array = new Uint8Array(0);
  #stretchStart = 0;
  #stretchEnd = 0;

  readonly #source: ByteSource;
  readonly header: LogitsBaseHeader;

  private constructor(header: LogitsBaseHeader, source: ByteSource) {
    this.header = header;
    this.#source = source;
  }

  /** Reads the header. Throws a MalformedInputError if it is not a base file, or not all of one. */
  static async open(source: ByteSource): Promise<LogitsBase> {
    const sizes = await readSizes(source);
    const expected = fileByteLength(sizes);
    if (source.byteLength !== expected) {
      throw new MalformedInputError(
        `${source.name}: has ${source.byteLength} bytes, but ${sizes.chunks} chunks of ${sizes.context} tokens with a vocabulary of ${sizes.vocabulary} take ${expected}. The run that wrote it did not finish, or the file was cut; write it again.`,
        { file: source.name },
      );
    }
    const bytes = await source.read(headerBytes, 4 * sizes.chunks * sizes.context);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const tokens = Int32Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getInt32(4 * i, true));
    const bad = tokens.findIndex((token) => token < 0 || token >= sizes.vocabulary);
    if (bad >= 0) {
      throw new MalformedInputError(
        `${source.name}: token ${bad} is ${tokens[bad]}, outside the vocabulary of ${sizes.vocabulary}. The file is damaged; write it again.`,
        { file: source.name },
      );
    }
    return new LogitsBase({ ...sizes, tokens }, source);
  }

  /** The row of scored position `position` (0 is the first one scored) of a chunk; fastest in their order. */
  async row(chunk: number, position: number): Promise<LogitsBaseRow> {
    const { context, vocabulary } = this.header;
    const view = await this.#rowBytes(chunk * scoredPerChunk(context) + position);
    const [scale, lowest] = [view.getFloat32(0, true), view.getFloat32(4, true)];
    if (!(scale >= 0 && scale <= 1 && lowest <= 0 && lowest > -Infinity)) {
      throw new MalformedInputError(
        `${this.#source.name}: position ${position} of chunk ${chunk + 1} has scale ${scale} and lowest log-probability ${lowest}. The file is damaged, or the model that wrote it gives no numbers; write it again.`,
        { file: this.#source.name },
      );
    }
    return { scale, lowest, codes: new Uint16Array(view.buffer, view.byteOffset + 8, vocabulary) };
  }

  /** Rows are read several at a time, as those of a small vocabulary are short. */
  async #rowBytes(index: number): Promise<DataView> {
    const { context, vocabulary, chunks, tokens } = this.header;
    const length = rowByteLength(vocabulary);
    if (index < this.#stretchStart || index >= this.#stretchEnd) {
      const rows = chunks * scoredPerChunk(context);
      const end = Math.min(rows, index + Math.ceil(stretchBytes / length));
      const start = headerBytes + tokens.byteLength + index * length;
      this.#stretch = await this.#source.read(start, (end - index) * length);
      [this.#stretchStart, this.#stretchEnd] = [index, end];
    }
    const at = (index - this.#stretchStart) * length;
    return new DataView(this.#stretch.buffer, this.#stretch.byteOffset + at, length);
  }

  async close(): Promise<void> {
    await this.#source.close();
  }
}

/** The bytes of a file before its rows. */
export function encodeHeader({ context, vocabulary, chunks, tokens }: LogitsBaseHeader): Uint8Array {
  const bytes = new Uint8Array(headerBytes + 4 * tokens.length);
  bytes.set(new TextEncoder().encode(magic));
  const view = new DataView(bytes.buffer);
  for (const [i, value] of [context, vocabulary, chunks].entries()) {
    view.setInt32(8 + 4 * i, value, true);
  }
  tokens.forEach((token, i) => {
    view.setInt32(headerBytes + 4 * i, token, true);
  });
  return bytes;
}

/** The bytes of one row, rounded to float32 where llama-perplexity does. */
export function encodeRow(logits: Float32Array, { top, logSumExp }: RowScore): Uint8Array {
  const bytes = new Uint8Array(rowByteLength(logits.length));
  const view = new DataView(bytes.buffer);
  const max = logits[top] as number;
  let min = max;
  for (let i = 0; i < logits.length; i++) {
    min = Math.min(min, logits[i] as number);
  }
  const lowest = Math.max(min, Math.fround(max - range));
  const scale = Math.fround(Math.fround(max - lowest) / codes);
  view.setFloat32(0, scale, true);
  view.setFloat32(4, Math.fround(lowest - max) - Math.fround(logSumExp - max), true);
  if (scale > 0) {
    encodeCodes(logits, lowest, Math.fround(1 / scale), new Uint16Array(bytes.buffer, 8));
  }
  return bytes;
}

/** Adding and taking away 1.5 x 2^23 rounds a float32 to an integer, halves to even. */
const rounder = 12582912;

function encodeCodes(logits: Float32Array, lowest: number, inverse: number, out: Uint16Array): void {
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i] as number;
    if (logit > lowest) {
      out[i] = Math.fround(Math.fround(inverse * Math.fround(logit - lowest)) + rounder) - rounder;
    }
  }
}

/** Log-probability of a token in a row of the file. */
export function logProbability({ scale, lowest, codes }: LogitsBaseRow, token: number): number {
  return Math.fround(scale * (codes[token] ?? 0) + lowest);
}

/**
 * Compares a row of logits with a row of the file as llama-perplexity does: tokens at 16 nats or more are left
 * out, and what remains is not normalized again.
 */
export function compareWithBase(
  row: LogitsBaseRow,
  logits: Float32Array,
): { readonly score: RowScore; readonly divergence: number; readonly sameTop: boolean } {
  const { scale, lowest, codes } = row;
  const score = scoreRow(logits);
  let divergence = 0;
  for (let i = 0; i < codes.length; i++) {
    const expected = Math.fround(scale * (codes[i] as number) + lowest);
    if (expected > -range) {
      divergence += expOfNegative(expected) * (expected - (logits[i] as number) + score.logSumExp);
    }
  }
  return { score, divergence, sameTop: score.top === indexOfMax(codes) };
}

async function readSizes(source: ByteSource): Promise<Omit<LogitsBaseHeader, "tokens">> {
  const bytes = source.byteLength < headerBytes ? undefined : await source.read(0, headerBytes);
  if (bytes === undefined || new TextDecoder("latin1").decode(bytes.subarray(0, 8)) !== magic) {
    throw new MalformedInputError(
      `${source.name}: is not a file of log-probabilities (it does not start with "${magic}"). Write one with \`saveAllLogits\`, or with llama-perplexity --kl-divergence-base.`,
      { file: source.name },
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const [context, vocabulary, chunks] = [8, 12, 16].map((at) => view.getInt32(at, true)) as [
    number,
    number,
    number,
  ];
  if ([context, vocabulary, chunks].some((size) => size < 1 || size > largestSize) || context < 4) {
    throw new MalformedInputError(
      `${source.name}: says ${chunks} chunks of ${context} tokens with a vocabulary of ${vocabulary}. The file is damaged; write it again.`,
      { file: source.name },
    );
  }
  return { context, vocabulary, chunks };
}
