import { MalformedInputError } from "../../../errors.js";
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { float32, type MetadataContext, uint32 } from "../metadata-rules.js";
import { ropeParameters } from "../rope.js";
import { inLayers, rule } from "../tensor-rules.js";
import { expertCountNames, fileTypePlace, usedExpertsNames } from "../text-model.js";
import {
  attention,
  attentionBiases,
  commonSizes,
  embeddingAndOutput,
  expertSizes,
  expertsOneByOne,
  layerNorms,
  layerPrefix,
  router,
} from "./common.js";

/** Phi-3.5-MoE: llama.cpp `src/models/phi3.cpp`. Norms with biases, factors for long and for short contexts. */
export const phiMoe: ModelFamily = {
  huggingFace: ["PhiMoEForCausalLM", "PhimoeForCausalLM"],
  gguf: "phimoe",
  tensors: [
    ...embeddingAndOutput,
    rule("model.norm.bias", "output_norm.bias", ["hidden"]),
    rule("lm_head.bias", "output.bias", ["vocabulary"], { optional: "always" }),
    ...layerNorms,
    ...attention,
    ...attentionBiases,
    ...inLayers(layerPrefix, [
      rule("input_layernorm.bias", "attn_norm.bias", ["hidden"]),
      rule("post_attention_layernorm.bias", "ffn_norm.bias", ["hidden"]),
      rule("self_attn.o_proj.bias", "attn_output.bias", ["hidden"]),
    ]),
    ...router("block_sparse_moe.gate.weight"),
    ...expertsOneByOne("block_sparse_moe.experts.", ["w1", "w3", "w2"]),
  ],
  sizes: (config) => ({
    ...commonSizes(config),
    ...expertSizes(config, { count: "num_local_experts", width: "intermediate_size" }),
  }),
  computed: (config) => {
    const rope = ropeParameters(config);
    if (!rope.has("long_factor")) {
      return [];
    }
    const turned = rotated(config, rope);
    return [
      { name: "rope_factors_long.weight", values: factors(rope, "long_factor", turned / 2) },
      { name: "rope_factors_short.weight", values: factors(rope, "short_factor", turned / 2) },
    ];
  },
  metadata: [
    uint32("context_length", "max_position_embeddings"),
    uint32("rope.scaling.original_context_length", ({ rope }) =>
      rope.count("original_max_position_embeddings"),
    ),
    uint32("embedding_length", "hidden_size"),
    uint32("feed_forward_length", "intermediate_size"),
    uint32("block_count", ({ layers }) => layers.hidden),
    uint32("attention.head_count", "num_attention_heads"),
    uint32("attention.head_count_kv", "num_key_value_heads"),
    float32("attention.layer_norm_rms_epsilon", ({ config }) => config.requireNumber("rms_norm_eps")),
    uint32("rope.dimension_count", ({ config, rope }) => rotated(config, rope)),
    float32("rope.freq_base", ({ rope }) => rope.number("rope_theta")),
    fileTypePlace,
    uint32("attention.sliding_window", ({ config }) => config.count("sliding_window") ?? 0),
    float32("rope.scaling.attn_factor", attentionFactor),
    uint32("expert_used_count", usedExpertsNames),
    uint32("expert_count", expertCountNames),
  ],
};

function rotated(config: Fields, rope: Fields): number {
  const share = rope.number("partial_rotary_factor") ?? 1;
  return Math.floor(
    Math.trunc(share * config.requireSize("hidden_size")) / config.requireSize("num_attention_heads"),
  );
}

function factors(rope: Fields, name: string, count: number): readonly number[] {
  const items = rope.items(name).filter((item) => typeof item === "number");
  return items.length === count ? items : rope.wrong(name, `a list of ${count} numbers`);
}

/** How much attention is sharpened in a stretched context. */
function attentionFactor({ config, rope }: MetadataContext): number | undefined {
  if (!rope.has("long_factor")) {
    return undefined;
  }
  const original = rope.requireSize("original_max_position_embeddings");
  const scale = config.requireSize("max_position_embeddings") / original;
  const kind = rope.string("rope_type");
  if (kind === "su" || kind === "longrope") {
    return scale > 1 ? Math.sqrt(1 + Math.log(scale) / Math.log(original)) : 1;
  }
  if (kind === "yarn") {
    return scale > 1 ? 0.1 * Math.log(scale) + 1 : 1;
  }
  throw new MalformedInputError(
    `${config.file}: rope scaling "${kind}" with long and short factors is not supported; "longrope" and "yarn" are.`,
    { file: config.file },
  );
}
