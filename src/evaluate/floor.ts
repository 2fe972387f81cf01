/**
 * The floor: how far the reference is from itself when nothing that matters is changed, here keys, values and attention
 * in F32 in place of F16, a half unit in the last place. Where a router is undecided between two experts that is enough
 * to send a token elsewhere, so that models of experts have a floor well above rounding. Differences between models
 * that are smaller mean nothing.
 */
import { type Divergence, DivergenceStatistics } from "./divergence.js";
import { type EvaluatedTexts, scoredIn } from "./evaluated-texts.js";
import { meanRouting, RoutingComparison, type RoutingLog } from "./routing.js";
import type { PositionScore } from "./scores.js";
import type { Estimate } from "./statistics.js";

export interface Floor {
  /** What differs between the two runs, for people. */
  readonly between: string;
  readonly chunks: number;
  readonly positions: number;
  readonly kld: Divergence["kld"];
  readonly topAgreement: number;
  /** Mean over layers of the share of tokens with the same experts; only of models with experts. */
  readonly sameExperts?: number;
  /** Mean divergence on each text. */
  readonly texts: readonly (Estimate & { readonly name: string })[];
}

const between = "attention and its cache in F32 rather than F16";

/** Of each text one chunk in so many is run twice, the first ones, and no fewer than `fewestChunks`. */
const oneIn = 8;
const fewestChunks = 4;

/** Collects the second run's scores against the first's. */
export class FloorMeasurement {
  readonly #texts: EvaluatedTexts;
  readonly #all: DivergenceStatistics;
  readonly #parts: readonly DivergenceStatistics[];
  readonly #chunks = new Set<number>();
  /** Watches the second run's routers. */
  readonly routing: RoutingComparison | undefined;

  /** `log` is what is seen of the routers in the first run. */
  constructor(texts: EvaluatedTexts, log: RoutingLog | undefined) {
    this.#texts = texts;
    this.#all = new DivergenceStatistics(scoredIn(texts, 0, texts.chunks));
    this.#parts = texts.parts.map(({ first, end }) => new DivergenceStatistics(scoredIn(texts, first, end)));
    this.routing = log && new RoutingComparison(log);
  }

  /** Whether chunks [first, end) are run twice. */
  wants({ first, end }: { readonly first: number; readonly end: number }): boolean {
    return this.#texts.parts.some((part) => {
      const wanted = Math.max(fewestChunks, Math.ceil((part.end - part.first) / oneIn));
      return first < Math.min(part.end, part.first + wanted) && part.first < end;
    });
  }

  /** Tells that a batch was decoded by the first run alone. */
  skip(): void {
    this.routing?.skip();
  }

  add(chunk: number, { nll, comparison }: PositionScore): void {
    if (comparison === undefined) {
      return;
    }
    this.#chunks.add(chunk);
    this.#all.add({ nll, ...comparison });
    this.#parts[this.#texts.parts.findIndex(({ end }) => chunk < end)]?.add({ nll, ...comparison });
  }

  /** Undefined if nothing was scored. */
  result(): Floor | undefined {
    if (this.#chunks.size === 0) {
      return undefined;
    }
    const { positions, kld, topAgreement } = this.#all.result();
    const sameExperts = meanRouting(this.routing?.result())?.sameExperts;
    return {
      ...{ between, chunks: this.#chunks.size, positions, kld, topAgreement },
      ...(sameExperts !== undefined && { sameExperts }),
      texts: this.#texts.parts.map(({ name }, at) => {
        const { mean = 0, meanError = 0 } = this.#parts[at]?.result().kld ?? {};
        return { name, mean, error: meanError };
      }),
    };
  }
}
