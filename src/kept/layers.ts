/** Of which layers activations can be kept: those with routed experts that see one vector for each token. */
import type { Metadata } from "../gguf/metadata.js";
import { Architecture } from "../model/architecture.js";
import { layerOf } from "../model/roles.js";
import type { SourceTensor } from "../model/source.js";
import { runLayers } from "../model/window-facts.js";

/** A layer whose experts' input is kept. */
export interface KeptInput {
  /** Name in the file. */
  readonly name: string;
  readonly layer: number;
  /** Weight at whose product the input is watched. */
  readonly weight: string;
  /** Weight whose input the experts compute of it. */
  readonly down: string;
  readonly columns: number;
  readonly experts: number;
  /** Experts that a token is sent to. */
  readonly slots: number;
}

/** What the input of a layer's routed experts is called in files: as in those of moments. */
export function keptInputName(layer: number): string {
  return `blk.${layer}.ffn_exps.in`;
}

/** Products are computed in tiles of eight columns. */
const columnsMultiple = 8;

/** The layers' inputs, in the order of the tensors; layers that predict further tokens are not run over a text. */
export function planKeptInputs(tensors: readonly SourceTensor[], metadata: Metadata): KeptInput[] {
  const architecture = new Architecture(metadata);
  const layers = runLayers(architecture);
  const planned = new Map<string, KeptInput>();
  for (const { name: weight, shape } of tensors) {
    const layer = layerOf(weight) ?? layers;
    const name = keptInputName(layer);
    const [columns = 1, , experts = 1] = shape;
    const isWanted = /\.ffn_(?:gate|up|gate_up)_exps\.weight$/.test(weight) && layer < layers;
    if (!isWanted || planned.has(name) || columns % columnsMultiple !== 0) {
      continue;
    }
    const slots = architecture.layerNumber("expert_used_count", layer) ?? architecture.expertsUsed;
    const down = `blk.${layer}.ffn_down_exps.weight`;
    planned.set(name, { name, layer, weight, down, columns, experts, slots });
  }
  return [...planned.values()];
}

/** Bytes that a token takes in a layer. */
export function keptBytesPerToken({ columns, slots }: KeptInput, bits: number): number {
  return (columns * bits) / 8 + 4 + 6 * slots;
}
