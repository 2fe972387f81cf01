/**
 * Which weights lie on graphics processors that do not hold all of them: as llama.cpp's own fitting does, everything
 * but routed experts first, since every token needs it, then the experts of as many layers as there is room for.
 * llama.cpp counts its layers on graphics processors from the end, the output matrix being the last one.
 */
import { hasExpertWeights } from "../engine/expert-buffers.js";
import { tensorBytes } from "../gguf/layout.js";
import { Architecture } from "./architecture.js";
import { isTied, layerOf } from "./roles.js";
import type { ModelSource } from "./source.js";

export interface GpuPlacement {
  /** Layers on graphics processors; all if undefined. */
  readonly gpuLayers?: number;
  /** The experts of so many of the first layers stay in the machine's memory. */
  readonly hostExpertLayers?: number;
}

/** @param roomBytes of graphics memory for weights */
export function placeOnGpus(
  { metadata, tensors }: Pick<ModelSource, "metadata" | "tensors">,
  roomBytes: number,
): GpuPlacement {
  const count = new Architecture(metadata).layers;
  const experts = new Array<number>(count).fill(0);
  // Of the layers, and of the output as one more.
  const others = new Array<number>(count + 1).fill(0);
  const output = isTied(tensors.map(({ name }) => name)) ? "token_embd.weight" : "output.weight";
  for (const tensor of tensors) {
    const layer = layerOf(tensor.name);
    if (layer === undefined) {
      others[count] = (others[count] ?? 0) + (tensor.name === output ? tensorBytes(tensor) : 0);
    } else if (layer < count) {
      const kind = hasExpertWeights(tensor.name) ? experts : others;
      kind[layer] = (kind[layer] ?? 0) + tensorBytes(tensor);
    }
  }
  const { taken, bytes } = takeFromTheEnd(others, roomBytes);
  if (taken <= count) {
    return { gpuLayers: taken, hostExpertLayers: count };
  }
  const withExperts = takeFromTheEnd(experts, roomBytes - bytes).taken;
  return withExperts === count ? {} : { hostExpertLayers: count - withExperts };
}

/** How many of the last sizes fit together, and their sum. */
function takeFromTheEnd(sizes: readonly number[], room: number): { taken: number; bytes: number } {
  let bytes = 0;
  for (let taken = 0; taken < sizes.length; taken++) {
    const next = sizes.at(-1 - taken) ?? 0;
    if (bytes + next > room) {
      return { taken, bytes };
    }
    bytes += next;
  }
  return { taken: sizes.length, bytes };
}

/** "the experts of 12 layers stay in the machine's memory" */
export function describePlacement({ gpuLayers, hostExpertLayers = 0 }: GpuPlacement): string {
  const what =
    gpuLayers === undefined
      ? `the experts of ${hostExpertLayers} layers stay`
      : gpuLayers === 0
        ? "all layers stay"
        : `all but the last ${gpuLayers}, and all experts, stay`;
  return `${what} in the machine's memory`;
}
