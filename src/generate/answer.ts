/** One answer in the making: chooses its tokens, makes their text, knows when it ends. */
import { AnswerText } from "./answer-text.js";
import type { Constraint } from "./grammar/constraint.js";
import type { AnswerFinish, AnswerPiece, FinishReason, GenerateRequest, TokenLogprob } from "./request.js";
import { logProbabilities, Sampler, type TokenProbability } from "./sampler.js";
import type { Vocabulary } from "./vocabulary.js";

/** A token's probability, kept until its text, the characters from `begin` to `end`, is given out. */
interface HeldLogprob {
  readonly logprob: TokenLogprob;
  readonly begin: number;
  readonly end: number;
}

/** Tokens of the answer to one request. Release it with `close`. */
export class Answer {
  readonly id: number;
  readonly client: string;
  readonly promptTokens: readonly number[];
  readonly #request: Omit<GenerateRequest, "prompt">;
  readonly #vocabulary: Vocabulary;
  readonly #sampler: Sampler;
  readonly #text: AnswerText;
  readonly #constraint: Constraint | undefined;
  readonly #heldLogprobs: HeldLogprob[] = [];
  #completionTokens = 0;
  #firstTokenAt = 0;

  /** @param constraint what the request's grammar allows; closed with the answer */
  constructor(
    id: number,
    request: Omit<GenerateRequest, "prompt">,
    promptTokens: readonly number[],
    vocabulary: Vocabulary,
    constraint?: Constraint,
  ) {
    this.id = id;
    this.client = request.client ?? "";
    this.promptTokens = promptTokens;
    this.#request = request;
    this.#vocabulary = vocabulary;
    this.#sampler = new Sampler(request.sampling);
    this.#text = new AnswerText(request.stop);
    this.#constraint = constraint;
  }

  /**
   * Chooses the next token.
   * @param logits that follow the sequence
   * @param sequence the prompt and the answer so far
   * @param room tokens that the sequence can still grow
   * @returns the token, unless it ends the answer and is no part of it, and the answer's next piece
   */
  next(
    logits: Float32Array,
    sequence: readonly number[],
    room: number,
  ): { token: number | undefined; piece: AnswerPiece } {
    if (this.#completionTokens === 0) {
      this.#firstTokenAt = performance.now();
    }
    const { logprobs, maxTokens = Number.POSITIVE_INFINITY, ignoreEnd } = this.#request;
    // The sampler may change the logits; probabilities are the model's own.
    const original = logprobs === undefined ? undefined : logits.slice();
    const token = this.#sampler.sample(logits, sequence, this.#constraint);
    this.#constraint?.accept(token);
    if (!ignoreEnd && this.#vocabulary.endsGeneration(token)) {
      const { text, isStopped } = this.#text.end();
      return { token: undefined, piece: this.#last([], text, "stop", isStopped) };
    }
    this.#completionTokens++;
    const begin = this.#text.decodedLength;
    const { text, isStopped } = this.#text.add(this.#bytesOf(token));
    if (original !== undefined) {
      const logprob = this.#describe(original, token, logprobs ?? 0);
      this.#heldLogprobs.push({ logprob, begin, end: this.#text.decodedLength });
    }
    if (isStopped) {
      return { token, piece: this.#last([token], text, "stop", true) };
    }
    if (this.#completionTokens < maxTokens && room > 1) {
      const logprobs = this.#release(({ end }) => end <= this.#text.givenLength);
      return { token, piece: { text, tokens: [token], logprobs } };
    }
    const rest = this.#text.end();
    const reason = rest.isStopped ? "stop" : "length";
    return { token, piece: this.#last([token], text + rest.text, reason, rest.isStopped) };
  }

  /** Releases what the answer holds, when it has ended or is given up. */
  close(): void {
    this.#constraint?.close();
  }

  /** The last piece. If a stop string cut the text, tokens after the cut are no part of it. */
  #last(tokens: readonly number[], text: string, reason: FinishReason, isCut: boolean): AnswerPiece {
    const finish: AnswerFinish = {
      reason,
      completionTokens: this.#completionTokens,
      generationMs: performance.now() - this.#firstTokenAt,
    };
    const logprobs = this.#release(({ begin }) => !isCut || begin < this.#text.givenLength);
    return { text, tokens, logprobs, finish };
  }

  /** What a token adds to the text: control tokens only if they were asked for. */
  #bytesOf(token: number): Uint8Array {
    const { visibleTokens = [] } = this.#request;
    const bytes = this.#vocabulary.tokenBytes(token);
    if (bytes.length > 0 || visibleTokens.length === 0) {
      return bytes;
    }
    const text = this.#vocabulary.controlText(token);
    return visibleTokens.includes(text) ? new TextEncoder().encode(text) : bytes;
  }

  #release(isCertain: (held: HeldLogprob) => boolean): TokenLogprob[] {
    const until = this.#heldLogprobs.findIndex((held) => !isCertain(held));
    const released = this.#heldLogprobs.splice(0, until < 0 ? this.#heldLogprobs.length : until);
    return released.map(({ logprob }) => logprob);
  }

  #describe(logits: Float32Array, token: number, count: number): TokenLogprob {
    const withBytes = (entry: TokenProbability) => ({
      ...entry,
      bytes: this.#vocabulary.tokenBytes(entry.token),
    });
    const { chosen, top } = logProbabilities(logits, token, count);
    return { ...withBytes(chosen), top: top.map(withBytes) };
  }
}
