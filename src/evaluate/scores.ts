/** The scores of a model: of all texts together, of each text, and of each chunk, which others can pair with theirs. */
import { type Divergence, DivergenceStatistics } from "./divergence.js";
import { type EvaluatedTexts, scoredIn } from "./evaluated-texts.js";
import { type Perplexity, perplexityOf } from "./perplexity.js";
import type { RoutingOfLayer } from "./routing.js";
import { RunningStatistics } from "./statistics.js";

/** One scored position, by the model alone or by the reference too. */
export interface PositionScore {
  /** Negative log-likelihood of the token that follows. */
  readonly nll: number;
  readonly comparison?:
    | {
        readonly referenceNll: number;
        /** Kullback-Leibler divergence in nats. */
        readonly divergence: number;
        /** Whether both models would say the same token. */
        readonly sameTop: boolean;
      }
    | undefined;
}

/** Means over the scored positions of a chunk. */
export interface ChunkScore {
  readonly positions: number;
  readonly nll: number;
  /** The rest only with a reference. */
  readonly referenceNll?: number;
  readonly kld?: number;
  readonly topAgreement?: number;
}

/** Perplexity, and the comparison if there is a reference. */
export interface Measured extends Perplexity, Partial<Omit<Divergence, keyof Perplexity>> {}

/** What was measured on one text. */
export interface MeasuredText extends Measured {
  readonly name: string;
  readonly chunks: number;
  /** Share of what is scored that the model was calibrated on; undefined if that is not known. */
  readonly calibratedOn?: number;
  readonly perChunk: readonly ChunkScore[];
}

/** Means over the scored positions in a part of the chunks: what comes late has more before it. */
export interface ScoredRange {
  /** Positions [from, to) of a chunk. */
  readonly from: number;
  readonly to: number;
  readonly positions: number;
  readonly nll: number;
  /** Only with a reference. */
  readonly kld?: number;
}

export interface MeasuredTexts {
  /** Over all scored positions of all texts. */
  readonly pooled: Measured;
  readonly texts: readonly MeasuredText[];
  /** All texts by the place in the chunk, in eighths of its length, as far as they are scored. */
  readonly byPosition: readonly ScoredRange[];
  /** Of each layer, with a reference of experts. */
  readonly routing?: readonly RoutingOfLayer[];
}

/** Parts of a chunk that are told apart. */
const ranges = 8;

/** Collects the scores of one model. */
export class Scores {
  readonly #texts: EvaluatedTexts;
  readonly #all: Collected;
  readonly #parts: readonly Collected[];
  readonly #chunks: Sums[];
  readonly #ranges = Array.from({ length: ranges }, () => new Sums());
  /** Of each chunk: where its next score belongs. They come in order. */
  readonly #next: Uint32Array;

  constructor(texts: EvaluatedTexts) {
    this.#texts = texts;
    this.#all = new Collected(scoredIn(texts, 0, texts.chunks));
    this.#parts = texts.parts.map(({ first, end }) => new Collected(scoredIn(texts, first, end)));
    this.#next = new Uint32Array(texts.chunks);
    this.#chunks = Array.from({ length: texts.chunks }, () => new Sums());
  }

  add(chunk: number, score: PositionScore): void {
    this.#all.add(score);
    this.#parts[this.#texts.parts.findIndex(({ end }) => chunk < end)]?.add(score);
    this.#chunks[chunk]?.add(score);
    this.#ranges[Math.floor((ranges * this.#takePosition(chunk)) / this.#texts.context)]?.add(score);
  }

  #takePosition(chunk: number): number {
    const { scored, context } = this.#texts;
    const begin = chunk * context;
    const position = scored.indexOf(1, begin + (this.#next[chunk] ?? 0)) - begin;
    this.#next[chunk] = position + 1;
    return position;
  }

  /** Perplexity so far. */
  soFar(): number {
    return this.#all.perplexity().ppl;
  }

  result(): MeasuredTexts {
    return {
      pooled: this.#all.result(),
      texts: this.#texts.parts.map(({ name, first, end }, part) => ({
        name,
        ...(this.#parts[part] as Collected).result(),
        chunks: end - first,
        perChunk: this.#chunks.slice(first, end).map((sums) => sums.means()),
      })),
      byPosition: this.#ranges.flatMap((sums, range) => {
        const { positions, nll, kld } = sums.means();
        const [from, to] = [range, range + 1].map((at) => Math.ceil((at * this.#texts.context) / ranges));
        return positions === 0
          ? []
          : [{ from: from ?? 0, to: to ?? 0, positions, nll, ...(kld !== undefined && { kld }) }];
      }),
    };
  }
}

/** Statistics with or without a reference: which it is shows with the first position. */
class Collected {
  readonly #nll = new RunningStatistics();
  readonly #positions: number;
  #comparison: DivergenceStatistics | undefined;

  constructor(positions: number) {
    this.#positions = positions;
  }

  add({ nll, comparison }: PositionScore): void {
    this.#nll.add(nll);
    if (comparison) {
      this.#comparison ??= new DivergenceStatistics(this.#positions);
      this.#comparison.add({ nll, ...comparison });
    }
  }

  perplexity(): Perplexity {
    return perplexityOf(this.#nll);
  }

  result(): Measured {
    return this.#comparison?.result() ?? this.perplexity();
  }
}

class Sums {
  #positions = 0;
  #nll = 0;
  #compared = 0;
  #referenceNll = 0;
  #kld = 0;
  #sameTop = 0;

  add({ nll, comparison }: PositionScore): void {
    this.#positions++;
    this.#nll += nll;
    if (comparison) {
      this.#compared++;
      this.#referenceNll += comparison.referenceNll;
      this.#kld += comparison.divergence;
      this.#sameTop += comparison.sameTop ? 1 : 0;
    }
  }

  means(): ChunkScore {
    const mean = (sum: number) => sum / this.#positions;
    return {
      positions: this.#positions,
      nll: mean(this.#nll),
      ...(this.#compared > 0 && {
        referenceNll: mean(this.#referenceNll),
        kld: mean(this.#kld),
        topAgreement: mean(this.#sameTop),
      }),
    };
  }
}
