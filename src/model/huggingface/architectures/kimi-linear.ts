import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { float32, int32s, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import { minusExponential } from "../transformations/named.js";
import {
  denseThenExperts,
  embeddingAndOutput,
  expertSizes,
  expertsOneByOne,
  feedForward,
  layerNorms,
  layerPrefix,
  router,
} from "./common.js";
import { latentAttention, latentKeysOfFile, latentSizes } from "./latent-attention.js";

/**
 * Kimi-Linear-48B-A3B: llama.cpp `src/models/kimi-linear.cpp`. Delta attention with a gate for each channel (KDA) in
 * most layers, latent attention in some. Its convolutions and decays have shapes of four dimensions.
 */
export const kimiLinear: ModelFamily = {
  huggingFace: ["KimiLinearForCausalLM"],
  gguf: "kimi-linear",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...onlyIn(
      "delta",
      inLayers(`${layerPrefix}self_attn.`, [
        rule("q_proj.weight", "attn_q.weight", ["hidden", "deltaHeads"]),
        rule("k_proj.weight", "attn_k.weight", ["hidden", "deltaHeads"]),
        rule("v_proj.weight", "attn_v.weight", ["hidden", "deltaHeads"]),
        rule("o_proj.weight", "attn_output.weight", ["deltaHeads", "hidden"]),
        rule("A_log", "ssm_a", ["one", "deltaHeadCount", "one", "one"], { via: minusExponential }),
        rule("dt_bias", "ssm_dt.bias", ["deltaHeads"]),
        rule("b_proj.weight", "ssm_beta.weight", ["hidden", "deltaHeadCount"]),
        rule("f_a_proj.weight", "ssm_f_a.weight", ["hidden", "deltaHead"]),
        rule("f_b_proj.weight", "ssm_f_b.weight", ["deltaHead", "deltaHeads"]),
        rule("g_a_proj.weight", "ssm_g_a.weight", ["hidden", "deltaHead"]),
        rule("g_b_proj.weight", "ssm_g_b.weight", ["deltaHead", "deltaHeads"]),
        rule("o_norm.weight", "ssm_norm.weight", ["deltaHead"]),
        rule("q_conv1d.weight", "ssm_conv1d_q.weight", ["kernel", "one", "deltaHeads", "one"]),
        rule("k_conv1d.weight", "ssm_conv1d_k.weight", ["kernel", "one", "deltaHeads", "one"]),
        rule("v_conv1d.weight", "ssm_conv1d_v.weight", ["kernel", "one", "deltaHeads", "one"]),
      ]),
    ),
    ...latentAttention.map((one) => ({ ...one, layers: one.layers ?? "latent" })),
    ...onlyIn("dense", feedForward("mlp.", "feedForward")),
    ...onlyIn("experts", [
      ...router("block_sparse_moe.gate.weight"),
      ...inLayers(layerPrefix, [
        rule("block_sparse_moe.gate.e_score_correction_bias", "exp_probs_b.bias", ["experts"]),
      ]),
      ...expertsOneByOne("block_sparse_moe.experts.", ["w1", "w3", "w2"]),
      ...feedForward("block_sparse_moe.shared_experts.", "sharedFeedForward", "_shexp"),
    ]),
  ],
  sizes(config) {
    const delta = config.requireObject("linear_attn_config");
    const experts = expertSizes(config, {
      count: "num_experts",
      width: "moe_intermediate_size",
      used: config.has("num_experts_per_token") ? "num_experts_per_token" : "num_experts_per_tok",
    });
    const deltaHead = delta.requireSize("head_dim");
    const deltaHeadCount = delta.requireSize("num_heads");
    return {
      ...latentSizes(config),
      ...experts,
      feedForward: config.requireSize("intermediate_size"),
      sharedFeedForward: (experts.expertFeedForward ?? 0) * (config.count("num_shared_experts") ?? 0),
      deltaHead,
      deltaHeadCount,
      deltaHeads: deltaHead * deltaHeadCount,
      kernel: delta.requireSize("short_conv_kernel_size"),
    };
  },
  layerKinds: (config, layer) => [
    ...denseThenExperts(config, layer),
    ...(isLatent(config, layer) ? ["latent", config.count("q_lora_rank") ? "lora" : "direct"] : ["delta"]),
  ],
  metadata: [
    ...textModelKeys(),
    // The length of values stays what config.json calls the head's, as llama.cpp's converter leaves it.
    ...latentKeysOfFile.filter(({ key }) => key !== "attention.value_length"),
    uint32("vocab_size", "vocab_size"),
    int32s("attention.head_count_kv", ({ config, layers }) =>
      Array.from({ length: layers.hidden }, (_, layer) => (isLatent(config, layer) ? 1 : 0)),
    ),
    uint32("ssm.conv_kernel", ({ sizes }) => sizes.kernel),
    uint32("kda.head_dim", ({ sizes }) => sizes.deltaHead),
    uint32("rope.dimension_count", "qk_rope_head_dim"),
    uint32("expert_feed_forward_length", "moe_intermediate_size"),
    uint32("expert_shared_count", "num_shared_experts"),
    uint32("leading_dense_block_count", "first_k_dense_replace"),
    float32("expert_weights_scale", "routed_scaling_factor"),
  ],
};

/** config.json counts layers from one here. */
function isLatent(config: Fields, layer: number): boolean {
  return config
    .requireObject("linear_attn_config")
    .items("full_attn_layers")
    .includes(layer + 1);
}
