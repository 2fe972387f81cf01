/** What Qwen3-Next and Qwen3.5 have in common: gated delta nets in most layers, full attention in some, MTP. */
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import type { LayerCount } from "../layer-count.js";
import { bools, type MetadataContext, type MetadataRule, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule, type Sizes, type TensorRule } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import { minusExponential, plusOne } from "../transformations/named.js";
import { commonSizes, headSize, layerPrefix, predictionKey, rotatedPart } from "./common.js";
import {
  qwenExpertKeys,
  qwenExpertSizes,
  qwenExperts,
  qwenSharedExpert,
  qwenSharedExpertSize,
} from "./qwen-experts.js";

/** Norms are stored as their difference from one. */
const norm = { via: plusOne } as const;

/** Everything but the matrices of the delta net, which are laid out differently in both families. */
export const linearAttentionRules: readonly TensorRule[] = [
  rule("model.embed_tokens.weight", "token_embd.weight", ["hidden", "vocabulary"]),
  rule("model.norm.weight", "output_norm.weight", ["hidden"], norm),
  rule("lm_head.weight", "output.weight", ["hidden", "vocabulary"], { optional: "if tied" }),
  ...inLayers(layerPrefix, [
    rule("input_layernorm.weight", "attn_norm.weight", ["hidden"], norm),
    rule("post_attention_layernorm.weight", "post_attention_norm.weight", ["hidden"], norm),
    ...onlyIn("attention", [
      rule("self_attn.q_proj.weight", "attn_q.weight", ["hidden", "gatedQueries"]),
      rule("self_attn.k_proj.weight", "attn_k.weight", ["hidden", "keys"]),
      rule("self_attn.v_proj.weight", "attn_v.weight", ["hidden", "keys"]),
      rule("self_attn.o_proj.weight", "attn_output.weight", ["queries", "hidden"]),
      rule("self_attn.q_norm.weight", "attn_q_norm.weight", ["head"], norm),
      rule("self_attn.k_norm.weight", "attn_k_norm.weight", ["head"], norm),
    ]),
    ...onlyIn("linear", [rule("linear_attn.norm.weight", "ssm_norm.weight", ["valueHead"])]),
    ...onlyIn("prediction", [
      rule("eh_proj.weight", "nextn.eh_proj.weight", ["twiceHidden", "hidden"]),
      rule("enorm.weight", "nextn.enorm.weight", ["hidden"], norm),
      rule("hnorm.weight", "nextn.hnorm.weight", ["hidden"], norm),
      rule("shared_head.norm.weight", "nextn.shared_head_norm.weight", ["hidden"], norm),
    ]),
  ]),
  ...qwenExperts,
  ...qwenSharedExpert,
];

/** The decay, stored as its logarithm. */
export const decay = minusExponential;

export function linearAttentionSizes(config: Fields): Sizes {
  const common = commonSizes(config);
  const keyHeads = config.requireSize("linear_num_key_heads");
  const valueHeads = config.requireSize("linear_num_value_heads");
  const keyHead = config.requireSize("linear_key_head_dim");
  const valueHead = config.requireSize("linear_value_head_dim");
  if (valueHeads % keyHeads !== 0) {
    config.wrong("linear_num_value_heads", `a multiple of linear_num_key_heads (${keyHeads})`);
  }
  const linearKeys = keyHeads * keyHead;
  const linearValues = valueHeads * valueHead;
  return {
    ...common,
    ...qwenExpertSizes(config),
    ...qwenSharedExpertSize(config),
    // Queries come with a gate for each of their values.
    gatedQueries: 2 * (common.queries ?? 0),
    linearKeyHeads: keyHeads,
    keyHead,
    valueHeads,
    valueHead,
    linearKeys,
    linearValues,
    linearQueriesAndKeys: 2 * linearKeys,
    linearMixed: 2 * linearKeys + linearValues,
    kernel: config.requireSize("linear_conv_kernel_dim"),
  };
}

/** Full attention or a delta net; prediction layers have full attention. */
export function linearAttentionKinds(config: Fields, layer: number, count: LayerCount): readonly string[] {
  if (layer >= count.hidden) {
    return ["attention"];
  }
  return [isLinear(config, layer) ? "linear" : "attention"];
}

function isLinear(config: Fields, layer: number): boolean {
  const types = config.items("layer_types");
  if (types.length === 0) {
    return (layer + 1) % (config.count("full_attention_interval") ?? 4) !== 0;
  }
  return types[layer] === "linear_attention";
}

/** Qwen3-Next does not say in config.json how many prediction layers it has. */
export const linearAttentionPrediction: NonNullable<ModelFamily["prediction"]> = {
  kept: "with the model",
  count(config, names) {
    const said = config.count("mtp_num_hidden_layers") ?? 0;
    if (said > 0) {
      return said;
    }
    let count = 0;
    for (const name of names) {
      const layer = /^(?:model\.)?mtp\.layers\.(\d{1,4})\./.exec(name)?.[1];
      count = Math.max(count, layer === undefined ? 0 : Number(layer) + 1);
    }
    return count;
  },
};

const predictionNames: Readonly<Record<string, string>> = {
  fc: "eh_proj",
  pre_fc_norm_embedding: "enorm",
  pre_fc_norm_hidden: "hnorm",
  norm: "shared_head.norm",
};

/** `mtp.layers.0.x` are layers after the hidden ones; what stands beside them belongs to the first. */
export function linearAttentionName(
  name: string,
  { hidden, prediction, stored }: LayerCount,
): string | undefined {
  const plain = name.replace("language_model.", "").replace(/^model\.mtp\./, "mtp.");
  if (!plain.startsWith("mtp.")) {
    return plain;
  }
  const layer = /^mtp\.layers\.(\d{1,4})\.(.*)$/.exec(plain);
  if (layer) {
    return `model.layers.${hidden + Number(layer[1])}.${layer[2]}`;
  }
  const [, part, kind] = /^mtp\.([^.]+)\.(weight|bias)$/.exec(plain) ?? [];
  const known =
    part !== undefined && Object.hasOwn(predictionNames, part) ? predictionNames[part] : undefined;
  if (known === undefined) {
    return plain;
  }
  return prediction === 0 && stored === 0 ? plain : `model.layers.${hidden}.${known}.${kind}`;
}

/** Keys of both families, in llama.cpp's order. */
export const linearAttentionKeys: readonly MetadataRule[] = [
  ...textModelKeys(),
  ...qwenExpertKeys,
  uint32("ssm.conv_kernel", "linear_conv_kernel_dim"),
  uint32("ssm.state_size", "linear_key_head_dim"),
  uint32("ssm.group_count", "linear_num_key_heads"),
  uint32("ssm.time_step_rank", "linear_num_value_heads"),
  uint32("ssm.inner_size", ({ sizes }) => sizes.linearValues),
  bools("attention.recurrent_layers", (context) => recurrentLayers(context)),
  uint32("full_attention_interval", ({ config }) => config.count("full_attention_interval") ?? 4),
  uint32("rope.dimension_count", (context) => rotatedPart(headSize(context.config), context, 0.25)),
  predictionKey,
];

function recurrentLayers({ config, layers }: MetadataContext): readonly boolean[] {
  const types = config.items("layer_types");
  if (types.length === 0) {
    return [];
  }
  if (types.length !== layers.hidden) {
    config.wrong("layer_types", `a list of ${layers.hidden} kinds`);
  }
  return [
    ...types.map((type) => type === "linear_attention"),
    ...new Array<boolean>(layers.prediction).fill(false),
  ];
}
