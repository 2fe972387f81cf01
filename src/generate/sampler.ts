/**
 * Chooses the next token, as llama.cpp's default chain does (common/sampling.cpp, src/llama-sampler.cpp): penalties,
 * then the `topK` likeliest tokens, of those the likeliest that together have probability `topP`, of those the ones
 * at least `minP` times as likely as the first; temperature comes last and only shapes the draw.
 */
import { EnvironmentError, UsageError } from "../errors.js";
import { RandomNumbers } from "./random.js";
import { highestToken, rankTokens } from "./ranking.js";

/** How tokens are chosen. */
export interface SamplingOptions {
  /** 0 always takes the likeliest token; higher values make the choice more even. */
  readonly temperature: number;
  /** Tokens to choose from; 0 for all. */
  readonly topK: number;
  /** Probability that the tokens to choose from have together; 1 for all. */
  readonly topP: number;
  /** Least probability, as a fraction of the likeliest token's; 0 for all. */
  readonly minP: number;
  /** Equal seeds give equal choices; random if undefined. */
  readonly seed?: number | undefined;
  /** Subtracted from a token's logit for each of its occurrences among the last 64 tokens. */
  readonly frequencyPenalty: number;
  /** Subtracted once from the logit of each of the last 64 tokens. */
  readonly presencePenalty: number;
  /** Added to tokens' logits. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
}

/** llama.cpp's defaults. */
export const samplingDefaults: SamplingOptions = {
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: [],
};

/** Tokens that penalties look back at (`penalty_last_n`). */
const penaltyTokens = 64;
/** Candidates that nearly always have `topP` of the probability among them. */
const likelyEnough = 256;

/** Says which tokens can follow in an answer. */
export interface TokenConstraint {
  allows(token: number): boolean;
  /** Sets the logits of tokens that cannot follow to minus infinity; a few that cannot may be left. */
  mask(logits: Float32Array): void;
}

/** Chooses the tokens of one answer. */
export class Sampler {
  readonly #options: SamplingOptions;
  readonly #random: RandomNumbers;

  constructor(options: Partial<SamplingOptions> = {}) {
    this.#options = { ...samplingDefaults, ...options };
    this.#random = new RandomNumbers(this.#options.seed ?? Math.floor(Math.random() * 2 ** 53));
  }

  /**
   * The next token.
   * Throws an EnvironmentError if no logit is a number; a UsageError if no token satisfies the constraint.
   * @param logits of all tokens; penalties and biases are applied in place
   * @param previous tokens of the sequence so far
   * @param constraint what the token must satisfy. The one chosen without it is tried first, as in llama.cpp: asking
   *   about one token is cheap, and what a model writes mostly fits.
   */
  sample(logits: Float32Array, previous: readonly number[], constraint?: TokenConstraint): number {
    this.#adjust(logits, previous);
    let token = this.#choose(logits);
    if (token < 0) {
      throw new EnvironmentError(
        "the model computes no numbers (all logits are NaN): its weights are damaged.",
      );
    }
    if (constraint === undefined || constraint.allows(token)) {
      return token;
    }
    constraint.mask(logits);
    do {
      logits[token] = Number.NEGATIVE_INFINITY;
      token = this.#choose(logits);
      if (token < 0) {
        throw new UsageError(
          "no token of this model's vocabulary fits the grammar here; change the grammar.",
        );
      }
    } while (!constraint.allows(token));
    return token;
  }

  /** A token, or -1 if none has a probability. */
  #choose(logits: Float32Array): number {
    const { temperature } = this.#options;
    const best = highestToken(logits);
    if (temperature <= 0 || best < 0) {
      return best;
    }
    const candidates = candidateTokens(logits, logits[best] as number, this.#options);
    return this.#draw(logits, candidates, logits[best] as number);
  }

  #adjust(logits: Float32Array, previous: readonly number[]): void {
    const { logitBias, frequencyPenalty, presencePenalty } = this.#options;
    for (const [token, bias] of logitBias) {
      logits[token] = (logits[token] ?? Number.NaN) + bias;
    }
    if (frequencyPenalty === 0 && presencePenalty === 0) {
      return;
    }
    const counts = new Map<number, number>();
    for (const token of previous.slice(-penaltyTokens)) {
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    for (const [token, count] of counts) {
      logits[token] = (logits[token] as number) - count * frequencyPenalty - presencePenalty;
    }
  }

  #draw(logits: Float32Array, candidates: Int32Array, highest: number): number {
    const { temperature } = this.#options;
    const weights = Float64Array.from(candidates, (token) =>
      Math.exp(((logits[token] as number) - highest) / temperature),
    );
    let rest = this.#random.next() * sum(weights);
    for (const [index, weight] of weights.entries()) {
      rest -= weight;
      if (rest < 0) {
        return candidates[index] as number;
      }
    }
    return candidates[0] as number; // rounding
  }
}

/**
 * The tokens that may be chosen.
 * @param highest the highest logit
 */
export function candidateTokens(
  logits: Float32Array,
  highest: number,
  { topK, topP, minP }: Pick<SamplingOptions, "topK" | "topP" | "minP">,
): Int32Array {
  const isLimited = topK > 0 && topK < logits.length;
  let candidates = isLimited ? rankTokens(logits, topK) : everyToken(logits);
  if (topP < 1) {
    candidates = likeliestTogether(logits, highest, topP, candidates, isLimited);
  }
  if (minP <= 0) {
    return candidates;
  }
  const least = highest + Math.log(minP);
  return candidates.filter((token) => (logits[token] as number) >= least);
}

/** The likeliest of `tokens` that together have the fraction `topP` of their probability. */
function likeliestTogether(
  logits: Float32Array,
  highest: number,
  topP: number,
  tokens: Int32Array,
  isRanked: boolean,
): Int32Array {
  const weight = (token: number) => Math.exp((logits[token] as number) - highest);
  let total = 0;
  for (const token of tokens) {
    total += weight(token);
  }
  const cut = (ranked: Int32Array) => {
    let seen = 0;
    for (const [index, token] of ranked.entries()) {
      seen += weight(token);
      if (seen >= topP * total) {
        return ranked.subarray(0, index + 1);
      }
    }
    return undefined;
  };
  if (isRanked) {
    return cut(tokens) ?? tokens;
  }
  return cut(rankTokens(logits, likelyEnough)) ?? cut(rankTokens(logits, logits.length)) ?? tokens;
}

/** A token and the logarithm of its probability. */
export interface TokenProbability {
  readonly token: number;
  readonly logprob: number;
}

/** Logarithms of the probabilities that the model gives to a token and to the `count` likeliest ones. */
export function logProbabilities(
  logits: Float32Array,
  token: number,
  count: number,
): { chosen: TokenProbability; top: TokenProbability[] } {
  const highest = logits[highestToken(logits)] ?? 0;
  let total = 0;
  for (const logit of logits) {
    total += Math.exp(logit - highest) || 0;
  }
  const normalizer = highest + Math.log(total);
  const probability = (of: number) => ({ token: of, logprob: (logits[of] as number) - normalizer });
  return { chosen: probability(token), top: Array.from(rankTokens(logits, count), probability) };
}

/** All tokens that have a probability. */
function everyToken(logits: Float32Array): Int32Array {
  return Int32Array.from(logits.keys()).filter(
    (token) => (logits[token] as number) > Number.NEGATIVE_INFINITY,
  );
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) {
    total += value;
  }
  return total;
}
