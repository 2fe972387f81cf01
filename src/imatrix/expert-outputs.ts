/**
 * What each routed expert adds to its layer: the length of its output times the router's weight, summed over the
 * tokens that it sees. It tells which experts a model can do without (REAP, arXiv 2510.13999).
 *
 * The graph (`build_moe_ffn` of llama.cpp) multiplies the outputs of `ffn_down_exps` by scales of the experts, if the
 * model has some, and by the router's weights, unless those came before the experts (Llama 4).
 */
import { operandOf, raiseLayer, weightName } from "../activations/operands.js";
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { roleOf } from "../model/roles.js";
import type { ImatrixEntry } from "./imatrix.js";

/** The outputs of a product that are under way: one for each slot of each token. */
interface UnderWay {
  readonly weight: string;
  readonly experts: number;
  /** The chosen expert of each. */
  readonly choices: Int32Array;
  readonly norms: Float64Array;
  /** Of the node that has them now. */
  address: number;
}

export class ExpertOutputs implements Observer {
  readonly operations = ["MUL_MAT_ID", "ADD_ID", "MUL"];
  /** Number of the first layer of the window that is watched. */
  firstLayer = 0;
  #sums = new Map<string, Float32Array>();
  #underWay: UnderWay | undefined;

  wants(node: NativeTensor): boolean {
    return node.operation === "MUL_MAT_ID"
      ? roleOf(weightName(operandOf(node, 0))) === "routed.down"
      : operandOf(node, 0).address === this.#underWay?.address;
  }

  observe(node: NativeTensor): void {
    if (node.operation === "MUL_MAT_ID") {
      this.#begin(node);
    } else if (this.#underWay !== undefined) {
      this.#goOn(node, this.#underWay);
    }
  }

  /**
   * Sums by the name of the down matrices, one for each expert, rounded to float32 after each token, of a group of chunks
   * that is complete; those of the next one begin anew.
   */
  take(): ReadonlyMap<string, Float32Array> {
    this.#finish();
    const taken = this.#sums;
    this.#sums = new Map();
    return taken;
  }

  #begin(node: NativeTensor): void {
    this.#finish();
    const [weight, choice] = [operandOf(node, 0), operandOf(node, 2)];
    const [, slots, tokens] = node.shape;
    const [slotStride, tokenStride] = [choice.strides[0] / 4, choice.strides[1] / 4];
    const stored = choice.int32();
    this.#underWay = {
      weight: raiseLayer(weightName(weight), this.firstLayer),
      experts: weight.shape[2],
      choices: Int32Array.from(
        { length: slots * tokens },
        (_, i) => stored[(i % slots) * slotStride + Math.floor(i / slots) * tokenStride] ?? 0,
      ),
      norms: new Float64Array(slots * tokens),
      address: node.address,
    };
    readNorms(node, this.#underWay.norms);
  }

  #goOn(node: NativeTensor, underWay: UnderWay): void {
    underWay.address = node.address;
    const factor = node.operation === "MUL" ? operandOf(node, 1) : undefined;
    const [, slots, tokens] = node.shape;
    if (factor?.shape[0] !== 1 || factor.shape[1] !== slots || factor.shape[2] !== tokens) {
      readNorms(node, underWay.norms);
      return;
    }
    const values = factor.float32();
    const [slotStride, tokenStride] = [factor.strides[1] / 4, factor.strides[2] / 4];
    for (let i = 0; i < underWay.norms.length; i++) {
      const value = values[(i % slots) * slotStride + Math.floor(i / slots) * tokenStride] ?? 0;
      underWay.norms[i] = (underWay.norms[i] ?? 0) * Math.abs(value);
    }
  }

  #finish(): void {
    if (this.#underWay === undefined) {
      return;
    }
    const { weight, experts, choices, norms } = this.#underWay;
    const sums = this.#sums.get(weight) ?? new Float32Array(experts);
    this.#sums.set(weight, sums);
    for (const [i, expert] of choices.entries()) {
      sums[expert] = (sums[expert] ?? 0) + (norms[i] ?? 0);
    }
    this.#underWay = undefined;
  }
}

/** Statistics of a group with those of what its experts put out. */
export function withOutputs(
  entries: ReadonlyMap<string, ImatrixEntry>,
  outputs: ReadonlyMap<string, Float32Array> = new Map(),
): ReadonlyMap<string, ImatrixEntry> {
  const added = [...outputs].flatMap(([name, values]): [string, ImatrixEntry][] => {
    const entry = entries.get(name);
    return entry ? [[name, { ...entry, outputs: values }]] : [];
  });
  return new Map([...entries, ...added]);
}

/** Euclidean norms of a node's rows, slot after slot of each token. */
function readNorms(node: NativeTensor, norms: Float64Array): void {
  const [columns, slots] = node.shape;
  const [slotStride, tokenStride] = [node.strides[1] / 4, node.strides[2] / 4];
  const values = node.float32();
  for (let i = 0; i < norms.length; i++) {
    const start = (i % slots) * slotStride + Math.floor(i / slots) * tokenStride;
    let sum = 0;
    for (let j = start; j < start + columns; j++) {
      const value = values[j] ?? 0;
      sum += value * value;
    }
    norms[i] = Math.sqrt(sum);
  }
}
