/**
 * The texts that a model is measured on, as one row of chunks: a model larger than memory is then read once for all
 * of them. Of a plain text the second half of each chunk is scored, as llama-perplexity does; of a conversation what
 * the assistant says.
 */
import { UsageError } from "../errors.js";
import { cutIntoChunks, type TextChunks } from "../text/chunks.js";
import { readTextFile, tokensOf } from "../text/text.js";
import type { RenderedConversation, TextInput } from "../text/text-input.js";
import { firstScored } from "./perplexity.js";

/** One of the texts: its chunks are [first, end). */
export interface EvaluatedPart {
  readonly name: string;
  readonly first: number;
  readonly end: number;
}

export interface EvaluatedTexts extends TextChunks {
  readonly parts: readonly EvaluatedPart[];
  /** For each token 1 if the prediction made at it, of the token that follows, is scored. */
  readonly scored: Uint8Array;
}

/** Makes tokens of a text; with `parseSpecial` control tokens in it are read as such. */
export type Tokenize = (text: Uint8Array, parseSpecial: boolean) => Int32Array;

interface Cut {
  readonly context: number;
  /** Most chunks of each text; all if undefined. */
  readonly chunks: number | undefined;
}

/**
 * Reads the texts and cuts them into chunks. Throws a UsageError if a text does not suffice for two chunks, or no
 * conversation has anything that the assistant says.
 */
export async function readEvaluatedTexts(
  texts: readonly TextInput[],
  cut: Cut,
  tokenize: Tokenize,
): Promise<EvaluatedTexts> {
  const pieces: { readonly name: string; readonly chunks: number; tokens: Int32Array; scored: Uint8Array }[] =
    [];
  for (const { name, path, parseSpecial, conversations } of texts) {
    if (conversations === undefined) {
      const tokens = tokenize(await readTextFile(path, tokensOf(cut)), parseSpecial);
      const text = cutIntoChunks(path, tokens, cut);
      pieces.push({ name, ...text, scored: secondHalves(text) });
    } else {
      const chunks = conversations.flatMap((conversation) =>
        chunksOfConversation(conversation, cut, tokenize),
      );
      if (chunks.length === 0) {
        throw new UsageError(
          `${path}: its conversations have nothing that the assistant says; there is nothing to be scored.`,
          { file: path },
        );
      }
      pieces.push({ name, ...joined(chunks.slice(0, cut.chunks), cut.context) });
    }
  }
  const chunks = pieces.reduce((sum, piece) => sum + piece.chunks, 0);
  const whole = {
    tokens: new Int32Array(chunks * cut.context),
    scored: new Uint8Array(chunks * cut.context),
  };
  const parts: EvaluatedPart[] = [];
  for (const { name, tokens, scored, ...piece } of pieces) {
    const first = parts.at(-1)?.end ?? 0;
    whole.tokens.set(tokens, first * cut.context);
    whole.scored.set(scored, first * cut.context);
    parts.push({ name, first, end: first + piece.chunks });
  }
  return { context: cut.context, chunks, ...whole, parts };
}

/** A plain text that is cut into chunks already, as one part. */
export function asOnePart(name: string, text: TextChunks): EvaluatedTexts {
  return { ...text, scored: secondHalves(text), parts: [{ name, first: 0, end: text.chunks }] };
}

/** Position in a chunk of the first prediction that is scored. */
export function firstScoredIn({ scored, context }: EvaluatedTexts, chunk: number): number {
  const at = scored.subarray(chunk * context, (chunk + 1) * context).indexOf(1);
  return at < 0 ? context - 1 : at;
}

/** Predictions that are scored in chunks [first, end). */
export function scoredIn({ scored, context }: EvaluatedTexts, first: number, end: number): number {
  return scored.subarray(first * context, end * context).reduce((sum, one) => sum + one, 0);
}

/** Positions from the middle of each chunk to the last but one. */
function secondHalves({ context, chunks }: TextChunks): Uint8Array {
  const scored = new Uint8Array(chunks * context);
  for (let chunk = 0; chunk < chunks; chunk++) {
    scored.fill(1, chunk * context + firstScored(context), (chunk + 1) * context - 1);
  }
  return scored;
}

interface Chunk {
  readonly tokens: Int32Array;
  readonly scored: Uint8Array;
}

/**
 * A conversation begins a chunk of its own; what is left of the chunk after its end is filled up and not scored. One
 * that is longer goes on in chunks that overlap by half, so that each token is scored once and has half a chunk
 * before it.
 */
function chunksOfConversation(
  conversation: RenderedConversation,
  { context }: Cut,
  tokenize: Tokenize,
): Chunk[] {
  const { tokens, spoken } = tokensOfConversation(conversation, tokenize);
  const chunks: Chunk[] = [];
  let done = 1;
  for (let start = 0; done < tokens.length; start += Math.floor(context / 2)) {
    const end = Math.min(start + context, tokens.length);
    const chunk = { tokens: new Int32Array(context).fill(tokens[0] ?? 0), scored: new Uint8Array(context) };
    chunk.tokens.set(tokens.subarray(start, end));
    // The prediction made at a token is of the next one.
    chunk.scored.set(spoken.subarray(done, end), done - 1 - start);
    if (chunk.scored.includes(1)) {
      chunks.push(chunk);
    }
    done = end;
  }
  return chunks;
}

/** Tokens, and for each 1 if the assistant says it: those in which the whole text and what comes before a place differ. */
function tokensOfConversation({ text, spoken }: RenderedConversation, tokenize: Tokenize) {
  const tokensOf = (begin: string) => withoutDoubledStart(tokenize(Buffer.from(begin), true));
  const tokens = tokensOf(text);
  const says = new Uint8Array(tokens.length);
  const placeOf = (end: number) => commonLength(tokens, tokensOf(text.slice(0, end)));
  for (const [from, to] of spoken) {
    says.fill(1, placeOf(from), to === text.length ? tokens.length : placeOf(to));
  }
  return { tokens, spoken: says };
}

/** BOS is there twice if both the template and the tokenizer put it at the beginning. */
function withoutDoubledStart(tokens: Int32Array): Int32Array {
  return tokens.length > 1 && tokens[0] === tokens[1] ? tokens.subarray(1) : tokens;
}

function commonLength(a: Int32Array, b: Int32Array): number {
  const different = a.findIndex((token, at) => token !== b[at]);
  return different < 0 ? a.length : different;
}

function joined(chunks: readonly Chunk[], context: number) {
  const tokens = new Int32Array(chunks.length * context);
  const scored = new Uint8Array(chunks.length * context);
  for (const [at, chunk] of chunks.entries()) {
    tokens.set(chunk.tokens, at * context);
    scored.set(chunk.scored, at * context);
  }
  return { chunks: chunks.length, tokens, scored };
}
