import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { float32, type MetadataRule, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule, type Sizes, type TensorRule } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import {
  denseThenExperts,
  embeddingAndOutput,
  expertSizes,
  expertsOneByOne,
  feedForward,
  layerNorms,
  layerPrefix,
  predictionLayers,
  router,
} from "./common.js";
import {
  deepseekExpertKeys,
  latentAttention,
  latentKeysOfFile,
  latentSizes,
  queryKind,
} from "./latent-attention.js";

/** A layer's feed-forward network: dense in the first ones, then experts of which some serve every token. */
export const deepseekFeedForward: readonly TensorRule[] = [
  ...onlyIn("dense", feedForward("mlp.", "feedForward")),
  ...onlyIn("experts", [
    ...router("mlp.gate.weight"),
    ...expertsOneByOne("mlp.experts."),
    ...feedForward("mlp.shared_experts.", "sharedFeedForward", "_shexp"),
  ]),
  ...onlyIn(
    "bias",
    inLayers(layerPrefix, [rule("mlp.gate.e_score_correction_bias", "exp_probs_b.bias", ["experts"])]),
  ),
];

export function deepseekSizes(config: Fields): Sizes {
  const experts = expertSizes(config, { count: "n_routed_experts", width: "moe_intermediate_size" });
  return {
    ...latentSizes(config),
    ...experts,
    feedForward: config.requireSize("intermediate_size"),
    sharedFeedForward: (experts.expertFeedForward ?? 0) * (config.count("n_shared_experts") ?? 0),
  };
}

/** Words for a layer: dense or experts, how queries are made, and whether routing has a bias. */
export function deepseekKinds(config: Fields, layer: number): readonly string[] {
  const kinds = denseThenExperts(config, layer);
  const hasBias = config.string("topk_method") === "noaux_tc" && kinds.includes("experts");
  return [...kinds, queryKind(config), ...(hasBias ? ["bias"] : [])];
}

/** Keys of all models with latent attention and DeepSeek's experts. */
export const deepseekKeys: readonly MetadataRule[] = [
  ...textModelKeys(),
  ...latentKeysOfFile,
  ...deepseekExpertKeys,
  uint32("rope.dimension_count", "qk_rope_head_dim"),
  float32("rope.scaling.yarn_log_multiplier", ({ rope }) => {
    const scale = rope.number("mscale_all_dim");
    return scale === undefined ? undefined : 0.1 * scale;
  }),
];

/** DeepSeek-V2, V2-Lite, V3, R1, Kimi-K2: llama.cpp `src/models/deepseek2.cpp`, which reads no prediction layers. */
export const deepseek2: ModelFamily = {
  huggingFace: ["DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"],
  gguf: "deepseek2",
  tensors: [...embeddingAndOutput, ...layerNorms, ...latentAttention, ...deepseekFeedForward],
  sizes: deepseekSizes,
  layerKinds: deepseekKinds,
  prediction: predictionLayers("never"),
  metadata: deepseekKeys,
};
