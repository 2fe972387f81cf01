import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { bools, float32, int32s, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, optional, rule, type Sizes } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import {
  commonSizes,
  expertSizes,
  feedForward,
  layerPrefix,
  visionTower,
  withoutLanguageModel,
} from "./common.js";

/**
 * Gemma 4 with experts (26B-A4B): llama.cpp `src/models/gemma4.cpp`. A dense network beside the experts in every
 * layer; full attention in some layers, with heads of its own size and, with `attention_k_eq_v`, values that are
 * the keys.
 */
export const gemma4: ModelFamily = {
  huggingFace: ["Gemma4ForConditionalGeneration", "Gemma4ForCausalLM"],
  gguf: "gemma4",
  tensors: [
    rule("model.embed_tokens.weight", "token_embd.weight", ["hidden", "vocabulary"]),
    rule("model.norm.weight", "output_norm.weight", ["hidden"]),
    rule("lm_head.weight", "output.weight", ["hidden", "vocabulary"], { optional: "always" }),
    ...inLayers(layerPrefix, [
      rule("input_layernorm.weight", "attn_norm.weight", ["hidden"]),
      rule("post_attention_layernorm.weight", "post_attention_norm.weight", ["hidden"]),
      rule("pre_feedforward_layernorm.weight", "ffn_norm.weight", ["hidden"]),
      rule("post_feedforward_layernorm.weight", "post_ffw_norm.weight", ["hidden"]),
      rule("layer_scalar", "layer_output_scale.weight", ["one"]),
      rule("self_attn.q_proj.weight", "attn_q.weight", ["hidden", "queries"]),
      rule("self_attn.k_proj.weight", "attn_k.weight", ["hidden", "keys"]),
      rule("self_attn.o_proj.weight", "attn_output.weight", ["queries", "hidden"]),
      rule("self_attn.q_norm.weight", "attn_q_norm.weight", ["head"]),
      rule("self_attn.k_norm.weight", "attn_k_norm.weight", ["head"]),
      ...onlyIn("values", [rule("self_attn.v_proj.weight", "attn_v.weight", ["hidden", "keys"])]),
      ...onlyIn("experts", [
        rule("pre_feedforward_layernorm_2.weight", "pre_ffw_norm_2.weight", ["hidden"]),
        rule("post_feedforward_layernorm_1.weight", "post_ffw_norm_1.weight", ["hidden"]),
        rule("post_feedforward_layernorm_2.weight", "post_ffw_norm_2.weight", ["hidden"]),
        rule("router.proj.weight", "ffn_gate_inp.weight", ["hidden", "experts"]),
        rule("router.scale", "ffn_gate_inp.scale", ["hidden"]),
        ...optional([rule("router.per_expert_scale", "ffn_down_exps.scale", ["experts"])]),
        rule("experts.down_proj", "ffn_down_exps.weight", ["expertFeedForward", "hidden", "experts"]),
        rule("experts.gate_up_proj", "ffn_gate_up_exps.weight", [
          "hidden",
          "twiceExpertFeedForward",
          "experts",
        ]),
      ]),
    ]),
    ...feedForward("mlp.", "feedForward"),
  ],
  sizes: (config) => ({
    ...commonSizes(config),
    ...(hasExperts(config) &&
      expertSizes(config, {
        count: "num_experts",
        width: config.has("expert_intermediate_size") ? "expert_intermediate_size" : "moe_intermediate_size",
        used: "top_k_experts",
      })),
    feedForward: config.requireSize("intermediate_size"),
  }),
  layerSizes(config, layer): Sizes {
    if (isSliding(config, layer)) {
      return {};
    }
    const head = fullHead(config);
    const keyHeads = config.count("num_global_key_value_heads") ?? config.requireSize("num_key_value_heads");
    return { head, queries: config.requireSize("num_attention_heads") * head, keys: keyHeads * head };
  },
  layerKinds: (config, layer) => [
    ...(hasExperts(config) ? ["experts"] : []),
    ...(isSliding(config, layer) || !config.flag("attention_k_eq_v") ? ["values"] : []),
  ],
  leftOut: [visionTower],
  rename: withoutLanguageModel,
  computed: (config) => {
    const rotated = config
      .object("rope_parameters")
      ?.object("full_attention")
      ?.number("partial_rotary_factor");
    const half = fullHead(config) / 2;
    const turned = Math.trunc((fullHead(config) * (rotated ?? 1)) / 2);
    // llama.cpp turns the first dimensions of a head; a huge divisor leaves the others where they are.
    const values = Array.from({ length: half }, (_, index) => (index < turned ? 1 : 1e30));
    return [{ name: "rope_freqs.weight", values }];
  },
  metadata: [
    ...textModelKeys(["proportional"]),
    float32("final_logit_softcapping", "final_logit_softcapping"),
    uint32("attention.sliding_window", "sliding_window"),
    uint32("attention.shared_kv_layers", ({ config }) => config.count("num_kv_shared_layers") ?? 0),
    uint32(
      "embedding_length_per_layer_input",
      ({ config }) => config.count("hidden_size_per_layer_input") ?? 0,
    ),
    bools("attention.sliding_window_pattern", ({ config, layers }) =>
      Array.from({ length: layers.hidden }, (_, layer) => isSliding(config, layer)),
    ),
    uint32("attention.key_length", ({ config }) => fullHead(config)),
    uint32("attention.value_length", ({ config }) => fullHead(config)),
    uint32("attention.key_length_swa", "head_dim"),
    uint32("attention.value_length_swa", "head_dim"),
    uint32("expert_feed_forward_length", ["expert_intermediate_size", "moe_intermediate_size"]),
    int32s("attention.head_count_kv", ({ config, layers }) => {
      const full = config.count("num_global_key_value_heads");
      const sliding = config.count("num_key_value_heads");
      return full === undefined || sliding === undefined
        ? undefined
        : Array.from({ length: layers.hidden }, (_, layer) => (isSliding(config, layer) ? sliding : full));
    }),
    uint32("rope.dimension_count", ({ config }) => fullHead(config)),
    uint32("rope.dimension_count_swa", "head_dim"),
  ],
};

function isSliding(config: Fields, layer: number): boolean {
  return config.items("layer_types")[layer] === "sliding_attention";
}

function hasExperts(config: Fields): boolean {
  return config.flag("enable_moe_block") ?? false;
}

/** Width of a head in layers of full attention. */
function fullHead(config: Fields): number {
  return config.count("global_head_dim") ?? config.requireSize("head_dim");
}
