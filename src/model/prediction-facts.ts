/**
 * Which architectures' layers of multi-token prediction (MTP, NextN) llama.cpp v0.5.0 computes: those with a `graph_mtp`
 * in its `src/models/`. Those of others are loaded by nobody, or not computed.
 */
import { Architecture } from "./architecture.js";
import { layerOf, nextnLayersOf } from "./roles.js";
import type { ModelSource, SourceTensor } from "./source.js";

interface PredictionFacts {
  /**
   * Name of the node whose vectors these layers take, with the last layer's number where `#` stands: what the output
   * matrix takes (`result_norm`) by default.
   */
  readonly node?: string;
  /** Several such layers can be computed, each for a token further ahead; one by default. */
  readonly several?: boolean;
  /** They abort where rotary embeddings have sections, as those of images and of windows have (`window-facts.ts`). */
  readonly breaksOnSections?: boolean;
  /** What of them is loaded although the rest is not, by the name after the layer's. */
  readonly alwaysLoaded?: RegExp;
  /** They are not read from a file that has no other layers. */
  readonly onlyWithModel?: boolean;
  /** What llama.cpp aborts without, in each of these layers. */
  readonly needs?: readonly string[];
}

const plain: PredictionFacts = {};

/** By the architecture's name in GGUF. */
const predictionFacts: Readonly<Record<string, PredictionFacts>> = {
  bailingmoe3: { needs: ["layer_output_norm"] },
  cohere2moe: plain,
  deepseek2: plain,
  deepseek32: plain,
  deepseek4: { node: "l_last-#" },
  "glm-dsa": plain,
  glm4moe: { breaksOnSections: true },
  hy_v3: { several: true, alwaysLoaded: /^(ffn_(?!norm)|exp_probs_b|nextn\.(embed_tokens|shared_head))/ },
  mimo2: { node: "l_out-#", several: true, needs: ["attn_qkv"], onlyWithModel: true },
  nemotron_h_moe: { needs: ["nextn.shared_head_norm"] },
  qwen35: plain,
  qwen35moe: plain,
  qwen3next: plain,
  step35: {
    node: "h_nextn",
    several: true,
    alwaysLoaded: /^(attn_(q_norm|k_norm|gate)|rope_|ffn_(?!norm)|exp_probs_b)/,
  },
};

/** Whether llama.cpp reads layers of multi-token prediction from a file that has no other layers. */
export function readsPredictionAlone(architecture: string): boolean {
  const facts = predictionFacts[architecture];
  return facts !== undefined && facts.onlyWithModel !== true;
}

/** Layers that predict further tokens, as a run computes them. */
export interface PredictionPlan {
  /** Number of the first one; they are the model's last layers. */
  readonly first: number;
  readonly count: number;
  /** Name of the node that they take, with the number of the last layer in front of them where `#` stands. */
  readonly node: string;
  /** They have output matrices of their own. */
  readonly hasHeads: boolean;
  /** They can be run in the last of several windows too. */
  readonly inWindows: boolean;
}

/** How llama.cpp computes the model's layers of multi-token prediction; undefined if there are none or it does not. */
export function planPrediction({ metadata, tensors }: ModelSource): PredictionPlan | undefined {
  const architecture = new Architecture(metadata);
  const facts = predictionFacts[architecture.name];
  const count = architecture.nextnLayers;
  if (facts === undefined || count === 0 || (count > 1 && facts.several !== true)) {
    return undefined;
  }
  if (facts.breaksOnSections && metadata.has(`${architecture.name}.rope.dimension_sections`)) {
    return undefined;
  }
  const names = new Set(tensors.map(({ name }) => name));
  const first = architecture.layers - count;
  const needed = ["nextn.eh_proj", "nextn.enorm", "nextn.hnorm", ...(facts.needs ?? [])];
  for (let layer = first; layer < architecture.layers; layer++) {
    if (needed.some((stem) => !names.has(`blk.${layer}.${stem}.weight`))) {
      return undefined;
    }
  }
  return {
    first,
    count,
    inWindows: facts.breaksOnSections !== true,
    node: facts.node ?? "result_norm",
    hasHeads: [...nextnLayersOf(names)].some((layer) =>
      names.has(`blk.${layer}.nextn.shared_head_head.weight`),
    ),
  };
}

/**
 * The tensors of a model that are loaded to run it: without layers that predict further tokens, which llama.cpp leaves
 * on the disk unless they are to draft, or unless there are no others.
 */
export function loadedTensors<Tensor extends { readonly name: string }>(
  tensors: readonly Tensor[],
  architecture: string,
): readonly Tensor[] {
  const left = nextnLayersOf(tensors.map(({ name }) => name));
  const isLeft = ({ name }: Tensor) => left.has(layerOf(name) ?? -1);
  const isAlone = !tensors.some((tensor) => layerOf(tensor.name) !== undefined && !isLeft(tensor));
  const always = predictionFacts[architecture]?.alwaysLoaded;
  const isLoaded = (tensor: Tensor) =>
    !isLeft(tensor) || always?.test(tensor.name.replace(/^blk\.\d+\./, "")) === true;
  return left.size === 0 || isAlone ? tensors : tensors.filter(isLoaded);
}

/** The tensors that take part in a run: not those of layers that predict further tokens, unless they are run too. */
export function runTensors(
  { tensors }: Pick<ModelSource, "tensors">,
  prediction: PredictionPlan | undefined,
): readonly SourceTensor[] {
  const left = nextnLayersOf(tensors.map(({ name }) => name));
  return prediction ? tensors : tensors.filter(({ name }) => !left.has(layerOf(name) ?? -1));
}
