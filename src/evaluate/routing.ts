/**
 * What routers do: which experts a model chooses, and with what probabilities, beside a reference's choices for the
 * same tokens. Divergence says that something is lost, routing shows in which layer.
 *
 * Both models compute the same batches, so that what is seen of a layer comes in the same order. Of a pruned model
 * nothing is compared: its experts have other numbers.
 */
import { operandOf, weightName } from "../activations/operands.js";
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";

/** How a layer's router differs from the reference's. */
export interface RoutingOfLayer {
  readonly layer: number;
  /** Tokens compared. */
  readonly tokens: number;
  /** Share of tokens for which the same experts are chosen, in whatever order. */
  readonly sameExperts: number;
  /** Share of the chosen experts that the reference chose too. */
  readonly sharedExperts: number;
  /**
   * Mean share of the router's probability that lies on other experts than the reference's: half the sum of absolute
   * differences. Undefined where the graph has no node of probabilities.
   */
  readonly movedProbability?: number;
}

/** Kept of the reference at most, in bytes; tokens beyond are not compared. */
const mostBytes = 256 * 2 ** 20;

/** Node that holds the probabilities of all experts (`build_moe_ffn` in llama.cpp `src/llama-graph.cpp`). */
const probabilitiesNode = /^ffn_moe_probs-(\d+)$/;

/** Every layer of experts has one such product. */
const downProduct = /^blk\.(\d+)\.ffn_down_exps\.weight$/;

/** How many experts a token takes of how many. */
interface Choice {
  readonly slots: number;
  readonly experts: number;
}

/** Sees the chosen experts, sorted for each token, and the probabilities, of each layer. */
abstract class RoutingObserver implements Observer {
  readonly operations = ["MUL_MAT_ID", "SOFT_MAX", "UNARY"];
  /** Number of the first layer of the window that is watched. */
  firstLayer = 0;

  wants(node: NativeTensor): boolean {
    return node.operation === "MUL_MAT_ID"
      ? downProduct.test(weightName(operandOf(node, 0)))
      : probabilitiesNode.test(node.name);
  }

  observe(node: NativeTensor): void {
    if (node.operation === "MUL_MAT_ID") {
      const weight = operandOf(node, 0);
      const layer = this.firstLayer + Number(downProduct.exec(weightName(weight))?.[1]);
      const choice = operandOf(node, 2);
      this.noteChoice(layer, chosenExperts(choice), { slots: choice.shape[0], experts: weight.shape[2] });
    } else {
      const layer = probabilitiesNode.exec(node.name)?.[1];
      this.noteProbabilities(this.firstLayer + Number(layer), node.float32(), node.shape[0]);
    }
  }

  abstract noteChoice(layer: number, chosen: Int32Array, of: Choice): void;
  abstract noteProbabilities(layer: number, values: Float32Array, experts: number): void;
}

function chosenExperts(choice: NativeTensor): Int32Array {
  const [slots, tokens] = choice.shape;
  const [stride, tokenStride] = [choice.strides[0] / 4, choice.strides[1] / 4];
  const values = choice.int32();
  const chosen = new Int32Array(slots * tokens);
  for (let token = 0; token < tokens; token++) {
    const row = chosen.subarray(token * slots, (token + 1) * slots);
    for (let slot = 0; slot < slots; slot++) {
      row[slot] = values[token * tokenStride + slot * stride] ?? -1;
    }
    row.sort();
  }
  return chosen;
}

interface Kept {
  readonly chosen: Int32Array[];
  readonly probabilities: Float32Array[];
  experts: number;
  bytes: number;
}

/** Keeps what the reference's routers do. */
export class RoutingLog extends RoutingObserver {
  readonly #layers = new Map<number, Kept>();
  readonly #bytesOfLayer: number;

  /** For a model of so many layers. */
  constructor(layers: number) {
    super();
    this.#bytesOfLayer = mostBytes / Math.max(1, layers);
  }

  chosen(layer: number, at: number): Int32Array | undefined {
    return this.#layers.get(layer)?.chosen[at];
  }

  /** Batches of each layer that were kept: of choices, and of probabilities. */
  *counts(): Generator<readonly [layer: number, choices: number, distributions: number]> {
    for (const [layer, { chosen, probabilities }] of this.#layers) {
      yield [layer, chosen.length, probabilities.length];
    }
  }

  probabilities(layer: number, at: number): Float32Array | undefined {
    return this.#layers.get(layer)?.probabilities[at];
  }

  /** Experts that a layer chooses from. */
  experts(layer: number): number | undefined {
    return this.#layers.get(layer)?.experts;
  }

  override noteChoice(layer: number, chosen: Int32Array, { experts }: Choice): void {
    const kept = this.#keep(layer, chosen.byteLength);
    if (kept) {
      kept.experts = experts;
      kept.chosen.push(chosen);
    }
  }

  override noteProbabilities(layer: number, values: Float32Array): void {
    this.#keep(layer, values.byteLength)?.probabilities.push(values.slice());
  }

  #keep(layer: number, bytes: number): Kept | undefined {
    const kept = this.#layers.get(layer) ?? { chosen: [], probabilities: [], experts: 0, bytes: 0 };
    this.#layers.set(layer, kept);
    kept.bytes += bytes;
    return kept.bytes <= this.#bytesOfLayer ? kept : undefined;
  }
}

interface Sums {
  choices: number;
  distributions: number;
  tokens: number;
  same: number;
  slots: number;
  shared: number;
  weighed: number;
  moved: number;
}

/** Compares a model's routers with what was kept of the reference's. */
export class RoutingComparison extends RoutingObserver {
  readonly #log: RoutingLog;
  readonly #layers = new Map<number, Sums>();

  constructor(log: RoutingLog) {
    super();
    this.#log = log;
  }

  /** Layers with routers, in order; none for a dense model. */
  result(): RoutingOfLayer[] {
    return [...this.#layers]
      .filter(([, { tokens }]) => tokens > 0)
      .sort(([a], [b]) => a - b)
      .map(([layer, { tokens, same, slots, shared, weighed, moved }]) => ({
        layer,
        tokens,
        sameExperts: same / tokens,
        sharedExperts: shared / slots,
        ...(weighed > 0 && { movedProbability: moved / weighed }),
      }));
  }

  /** Leaves out what the reference has done so far: this model does not decode it. */
  skip(): void {
    for (const [layer, choices, distributions] of this.#log.counts()) {
      Object.assign(this.#sums(layer), { choices, distributions });
    }
  }

  override noteChoice(layer: number, chosen: Int32Array, { slots, experts }: Choice): void {
    const sums = this.#sums(layer);
    const expected = this.#log.chosen(layer, sums.choices++);
    if (expected?.length !== chosen.length || this.#log.experts(layer) !== experts) {
      return;
    }
    for (let start = 0; start < chosen.length; start += slots) {
      const others = expected.subarray(start, start + slots);
      const shared = chosen.subarray(start, start + slots).filter((expert) => others.includes(expert)).length;
      sums.tokens++;
      sums.slots += slots;
      sums.shared += shared;
      sums.same += shared === slots ? 1 : 0;
    }
  }

  override noteProbabilities(layer: number, values: Float32Array, experts: number): void {
    const sums = this.#sums(layer);
    const expected = this.#log.probabilities(layer, sums.distributions++);
    if (expected?.length !== values.length) {
      return;
    }
    for (let start = 0; start < values.length; start += experts) {
      const [own, others] = [values, expected].map((rows) => rows.subarray(start, start + experts)) as [
        Float32Array,
        Float32Array,
      ];
      // Sigmoids do not add up to one.
      const [total, otherTotal] = [sumOf(own), sumOf(others)];
      let difference = 0;
      for (const [expert, value] of own.entries()) {
        difference += Math.abs(value / total - (others[expert] ?? 0) / otherTotal);
      }
      sums.weighed++;
      sums.moved += difference / 2;
    }
  }

  #sums(layer: number): Sums {
    const known = this.#layers.get(layer);
    const sums = known ?? {
      ...{ choices: 0, distributions: 0, tokens: 0, same: 0, slots: 0, shared: 0, weighed: 0, moved: 0 },
    };
    this.#layers.set(layer, sums);
    return sums;
  }
}

function sumOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) {
    sum += value;
  }
  return sum;
}

/** The layer whose router is furthest from the source's. */
export function leastShare(layers: readonly RoutingOfLayer[]): RoutingOfLayer | undefined {
  const [first, ...others] = layers;
  return first && others.reduce((least, of) => (of.sameExperts < least.sameExperts ? of : least), first);
}

/** Means over all layers. Undefined without any. */
export function meanRouting(
  layers: readonly RoutingOfLayer[] | undefined,
): { readonly sameExperts: number; readonly movedProbability: number | undefined } | undefined {
  if (layers === undefined || layers.length === 0) {
    return undefined;
  }
  const moved = layers.flatMap(({ movedProbability }) =>
    movedProbability === undefined ? [] : [movedProbability],
  );
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    sameExperts: mean(layers.map(({ sameExperts }) => sameExperts)),
    movedProbability: moved.length > 0 ? mean(moved) : undefined,
  };
}
