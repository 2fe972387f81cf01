import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { int32s, uint32, without } from "../metadata-rules.js";
import { inLayers, onlyIn, rule } from "../tensor-rules.js";
import { gatingFunctions, textModelKeys } from "../text-model.js";
import { commonSizes, expertSizes, expertsOneByOne, feedForward, layerPrefix, router } from "./common.js";

/** LFM2-8B-A1B: llama.cpp `src/models/lfm2.cpp`. Short convolutions in most layers, attention in some. */
export const lfm2Moe: ModelFamily = {
  huggingFace: ["Lfm2MoeForCausalLM"],
  gguf: "lfm2moe",
  tensors: [
    rule("model.embed_tokens.weight", "token_embd.weight", ["hidden", "vocabulary"]),
    rule("model.embedding_norm.weight", "token_embd_norm.weight", ["hidden"]),
    rule("lm_head.weight", "output.weight", ["hidden", "vocabulary"], { optional: "always" }),
    ...inLayers(layerPrefix, [
      rule("operator_norm.weight", "attn_norm.weight", ["hidden"]),
      rule("ffn_norm.weight", "ffn_norm.weight", ["hidden"]),
      ...onlyIn("convolution", [
        rule("conv.conv.weight", "shortconv.conv.weight", ["kernel", "hidden"]),
        rule("conv.in_proj.weight", "shortconv.in_proj.weight", ["hidden", "threeHidden"]),
        rule("conv.out_proj.weight", "shortconv.out_proj.weight", ["hidden", "hidden"]),
      ]),
      ...onlyIn("attention", [
        rule("self_attn.q_proj.weight", "attn_q.weight", ["hidden", "queries"]),
        rule("self_attn.k_proj.weight", "attn_k.weight", ["hidden", "keys"]),
        rule("self_attn.v_proj.weight", "attn_v.weight", ["hidden", "keys"]),
        rule("self_attn.out_proj.weight", "attn_output.weight", ["queries", "hidden"]),
        rule("self_attn.q_layernorm.weight", "attn_q_norm.weight", ["head"]),
        rule("self_attn.k_layernorm.weight", "attn_k_norm.weight", ["head"]),
      ]),
      ...onlyIn("bias", [rule("feed_forward.expert_bias", "exp_probs_b.bias", ["experts"])]),
    ]),
    ...onlyIn("dense", feedForward("feed_forward.", "feedForward", "", ["w1", "w3", "w2"])),
    ...onlyIn("experts", [
      ...router("feed_forward.gate.weight"),
      ...expertsOneByOne("feed_forward.experts.", ["w1", "w3", "w2"]),
    ]),
  ],
  sizes(config) {
    const common = commonSizes(config);
    return {
      ...common,
      ...expertSizes(config, { count: "num_experts", width: "moe_intermediate_size" }),
      threeHidden: 3 * (common.hidden ?? 0),
      feedForward: config.requireSize("intermediate_size"),
      kernel: config.requireSize("conv_L_cache"),
    };
  },
  layerKinds(config, layer) {
    const isDense = layer < (config.count("num_dense_layers") ?? 0);
    const hasBias = !isDense && (config.flag("use_expert_bias") ?? true);
    return [
      hasAttention(config, layer) ? "attention" : "convolution",
      isDense ? "dense" : "experts",
      ...(hasBias ? ["bias"] : []),
    ];
  },
  tokenizer: { preTokenizer: "lfm2" },
  metadata: [
    ...without(textModelKeys(), "attention.head_count_kv"),
    int32s("attention.head_count_kv", ({ config, layers }) =>
      Array.from({ length: layers.hidden }, (_, layer) =>
        hasAttention(config, layer) ? config.requireSize("num_key_value_heads") : 0,
      ),
    ),
    uint32("expert_feed_forward_length", "moe_intermediate_size"),
    uint32("leading_dense_block_count", "num_dense_layers"),
    uint32("expert_gating_func", () => gatingFunctions.sigmoid),
    uint32("vocab_size", "vocab_size"),
    uint32("shortconv.l_cache", "conv_L_cache"),
  ],
};

function hasAttention(config: Fields, layer: number): boolean {
  return config.items("layer_types")[layer] === "full_attention";
}
