/** What the router weighs the outputs of a token's experts with, seen while a model computes. */
import type { NativeTensor } from "../engine/tensor.js";

/**
 * Nodes that hold the weights with which the router's choices are added up; of several in a layer the last is what
 * counts. Names: `build_moe_ffn` in llama.cpp `src/llama-graph.cpp`.
 */
const routerWeights = /^ffn_moe_weights(?:_softmax|_norm|_scaled)?-(\d+)$/;

/** The latest layer's weights. Where the graph does not show any, all experts count alike. */
export class RouterWeights {
  /** Operations that compute such nodes. */
  static readonly operations = ["GET_ROWS", "RESHAPE", "DIV", "SCALE"] as const;
  #latest: { readonly layer: string; readonly values: Float32Array } | undefined;

  wants(node: NativeTensor): boolean {
    return routerWeights.test(node.name);
  }

  note(node: NativeTensor): void {
    const layer = `blk.${routerWeights.exec(node.name)?.[1]}.`;
    this.#latest = { layer, values: node.float32().slice() };
  }

  /** Token after token, for the layer of a weight; undefined if there are not `count`. */
  of(weight: string, count: number): Float32Array | undefined {
    const latest = this.#latest;
    return latest && weight.startsWith(latest.layer) && latest.values.length === count
      ? latest.values
      : undefined;
  }
}
