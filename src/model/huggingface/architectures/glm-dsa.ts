import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { bools, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule } from "../tensor-rules.js";
import {
  embeddingAndOutput,
  layerNorms,
  layerPrefix,
  predictionHead,
  predictionKey,
  predictionLayers,
  rotatedPart,
} from "./common.js";
import { deepseekFeedForward, deepseekKeys, deepseekKinds, deepseekSizes } from "./deepseek2.js";
import { glmTokenizer } from "./glm4-moe.js";
import { latentAttention } from "./latent-attention.js";

/** GLM-5, GLM-5.2: latent attention over the tokens that an indexer chooses. */
export const glmDsa: ModelFamily = {
  huggingFace: ["GlmMoeDsaForCausalLM"],
  gguf: "glm-dsa",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...latentAttention,
    ...onlyIn(
      "indexer",
      inLayers(`${layerPrefix}self_attn.indexer.`, [
        rule("k_norm.weight", "indexer.k_norm.weight", ["indexHead"]),
        rule("k_norm.bias", "indexer.k_norm.bias", ["indexHead"]),
        rule("weights_proj.weight", "indexer.proj.weight", ["hidden", "indexHeads"]),
        rule("wk.weight", "indexer.attn_k.weight", ["hidden", "indexHead"]),
        rule("wq_b.weight", "indexer.attn_q_b.weight", ["queryRank", "indexQueries"]),
      ]),
    ),
    ...deepseekFeedForward,
    ...predictionHead,
  ],
  sizes(config) {
    const indexHead = config.requireSize("index_head_dim");
    const indexHeads = config.requireSize("index_n_heads");
    return { ...deepseekSizes(config), indexHead, indexHeads, indexQueries: indexHead * indexHeads };
  },
  layerKinds: (config, layer) => [
    ...deepseekKinds(config, layer),
    ...(hasIndexer(config, layer) ? ["indexer"] : []),
  ],
  prediction: predictionLayers("with the model"),
  tokenizer: glmTokenizer,
  metadata: [
    ...deepseekKeys,
    uint32("rope.dimension_count", (context) =>
      rotatedPart(context.config.requireSize("qk_rope_head_dim"), context, 1),
    ),
    predictionKey,
    uint32("attention.indexer.head_count", "index_n_heads"),
    uint32("attention.indexer.key_length", "index_head_dim"),
    uint32("attention.indexer.top_k", "index_topk"),
    bools("attention.indexer.types", ({ config }) =>
      config.items("indexer_types").map((type) => type === "full"),
    ),
  ],
};

/** Some layers use the indexer of the layer before. */
function hasIndexer(config: Fields, layer: number): boolean {
  return config.items("indexer_types")[layer] !== "shared";
}
