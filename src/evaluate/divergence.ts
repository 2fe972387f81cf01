/**
 * How far a model's predictions are from a reference model's: the family of numbers that llama-perplexity gives
 * with --kl-divergence (`tools/perplexity/perplexity.cpp`). Fractions here are fractions, not percentages.
 */
import { type Perplexity, perplexityOf } from "./perplexity.js";
import { percentile, RunningStatistics } from "./statistics.js";

/** One scored position, by both models. */
export interface PositionComparison {
  /** Negative log-likelihood of the token that follows, by the model. */
  readonly nll: number;
  /** The same by the reference model. */
  readonly referenceNll: number;
  /** Kullback-Leibler divergence in nats. */
  readonly divergence: number;
  /** Whether both models would say the same token. */
  readonly sameTop: boolean;
}

export interface Divergence extends Perplexity {
  readonly reference: Perplexity;
  /** Perplexity over the reference's, with the error of correlated quantities. */
  readonly pplRatio: number;
  readonly pplRatioError: number;
  /** Perplexity minus the reference's. */
  readonly pplDifference: number;
  readonly pplDifferenceError: number;
  /** Correlation of the two logarithms of perplexity. */
  readonly correlation: number;
  /** Kullback-Leibler divergence per position, in nats. */
  readonly kld: {
    readonly mean: number;
    readonly meanError: number;
    readonly median: number;
    readonly p90: number;
    readonly p95: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
    readonly min: number;
  };
  /** Fraction of positions with the same most likely token. */
  readonly topAgreement: number;
  readonly topAgreementError: number;
  /** Change of the probability of the token that follows. */
  readonly deltaP: {
    readonly mean: number;
    readonly meanError: number;
    readonly rms: number;
    readonly rmsError: number;
    readonly p1: number;
    readonly p5: number;
    readonly median: number;
    readonly p95: number;
    readonly p99: number;
  };
}

/** Collects positions; eight bytes each. */
export class DivergenceStatistics {
  readonly #nll = new RunningStatistics();
  readonly #referenceNll = new RunningStatistics();
  readonly #difference = new RunningStatistics();
  readonly #kld = new RunningStatistics();
  readonly #deltaP = new RunningStatistics();
  readonly #squaredDeltaP = new RunningStatistics();
  #sameTop = 0;
  readonly #divergences: Float32Array;
  readonly #deltas: Float32Array;

  /** For at most `positions` positions. */
  constructor(positions: number) {
    this.#divergences = new Float32Array(positions);
    this.#deltas = new Float32Array(positions);
  }

  add({ nll, referenceNll, divergence, sameTop }: PositionComparison): void {
    const deltaP = Math.exp(-nll) - Math.exp(-referenceNll);
    this.#divergences[this.#nll.count] = divergence;
    this.#deltas[this.#nll.count] = deltaP;
    this.#nll.add(nll);
    this.#referenceNll.add(referenceNll);
    this.#difference.add(nll - referenceNll);
    this.#kld.add(divergence);
    this.#deltaP.add(deltaP);
    this.#squaredDeltaP.add(deltaP * deltaP);
    if (sameTop) {
      this.#sameTop++;
    }
  }

  /** Perplexity so far. */
  perplexity(): Perplexity {
    return perplexityOf(this.#nll);
  }

  result(): Divergence {
    const count = this.#nll.count;
    const topAgreement = this.#sameTop / count;
    return {
      ...perplexityOf(this.#nll),
      reference: perplexityOf(this.#referenceNll),
      ...this.#ratios(),
      kld: this.#divergenceSummary(),
      topAgreement,
      topAgreementError: Math.sqrt((topAgreement * (1 - topAgreement)) / (count - 1)),
      deltaP: this.#deltaSummary(),
    };
  }

  /** The errors come from the paired differences: both models are surprised by the same tokens. */
  #ratios() {
    const own = this.#nll.estimate();
    const reference = this.#referenceNll.estimate();
    const difference = this.#difference.estimate();
    const [ppl, referencePpl] = [Math.exp(own.mean), Math.exp(reference.mean)];
    const pplRatio = Math.exp(difference.mean);
    // Twice the covariance is own.error^2 + reference.error^2 - difference.error^2; written without cancellation.
    const excess = difference.error ** 2 - (own.error - reference.error) ** 2;
    const variance = (ppl * own.error - referencePpl * reference.error) ** 2 + ppl * referencePpl * excess;
    return {
      pplRatio,
      pplRatioError: pplRatio * difference.error,
      pplDifference: ppl - referencePpl,
      pplDifferenceError: Math.sqrt(Math.max(0, variance)),
      correlation: 1 - excess / (2 * own.error * reference.error),
    };
  }

  #divergenceSummary(): Divergence["kld"] {
    const sorted = this.#divergences.slice(0, this.#kld.count).sort();
    const { mean, error } = this.#kld.estimate();
    return {
      mean,
      meanError: error,
      median: percentile(sorted, 0.5),
      p90: percentile(sorted, 0.9),
      p95: percentile(sorted, 0.95),
      p99: percentile(sorted, 0.99),
      p999: percentile(sorted, 0.999),
      max: percentile(sorted, 1),
      min: percentile(sorted, 0),
    };
  }

  #deltaSummary(): Divergence["deltaP"] {
    const sorted = this.#deltas.slice(0, this.#deltaP.count).sort();
    const { mean, error } = this.#deltaP.estimate();
    const square = this.#squaredDeltaP.estimate();
    const rms = Math.sqrt(square.mean);
    return {
      mean,
      meanError: error,
      rms,
      rmsError: rms > 0 ? (0.5 / rms) * square.error : 0,
      p1: percentile(sorted, 0.01),
      p5: percentile(sorted, 0.05),
      median: percentile(sorted, 0.5),
      p95: percentile(sorted, 0.95),
      p99: percentile(sorted, 0.99),
    };
  }
}
