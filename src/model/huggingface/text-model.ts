/**
 * The keys that every text model has, in the order of llama.cpp's `conversion/base.py`
 * (TextModel.set_gguf_parameters). Families add theirs, and leave out or replace some of these.
 */
import { MalformedInputError } from "../../errors.js";
import type { Fields } from "./fields.js";
import { float32, type MetadataRule, uint32 } from "./metadata-rules.js";
import { ropeRules } from "./rope.js";

/** `enum llama_expert_gating_func_type` in llama.cpp `src/llama-hparams.h`. */
export const gatingFunctions: Readonly<Record<string, number>> = { softmax: 1, sigmoid: 2, sqrtsoftplus: 4 };

const gatingNames = [
  "score_function",
  "scoring_func",
  "score_func",
  "moe_router_activation",
  "moe_router_activation_func",
  "expert_selection_fn",
];

/** Names of the number of routed experts. */
export const expertCountNames = ["num_local_experts", "num_experts", "n_routed_experts"];

/** Names of the number of experts that a token is sent to. */
export const usedExpertsNames = ["num_experts_per_tok", "num_experts_per_token", "top_k_experts"];

/** llama.cpp's converter writes the file type here; the value is set when the types are known. */
export const fileTypePlace = uint32("general.file_type", () => 0);

/** The common keys. `ropeKinds` are kinds of rope scaling that the family handles itself. */
export function textModelKeys(ropeKinds: readonly string[] = []): readonly MetadataRule[] {
  return [
    uint32("block_count", ({ layers }) => layers.hidden + layers.prediction),
    uint32("context_length", ({ config }) =>
      config.requireSize(firstOf(config, ["max_position_embeddings", "model_max_length"])),
    ),
    uint32("embedding_length", ({ config }) => config.requireSize("hidden_size")),
    uint32("feed_forward_length", "intermediate_size"),
    uint32("attention.head_count", ({ config }) => config.requireSize("num_attention_heads")),
    uint32("attention.head_count_kv", "num_key_value_heads"),
    ...ropeRules(ropeKinds),
    float32("attention.layer_norm_rms_epsilon", ({ config }) =>
      config.requireNumber(firstOf(config, ["rms_norm_eps", "norm_eps"])),
    ),
    uint32("expert_count", expertCountNames),
    uint32("expert_used_count", usedExpertsNames),
    uint32("expert_group_count", "n_group"),
    uint32("expert_group_used_count", "topk_group"),
    uint32("expert_gating_func", ({ config }) => gatingFunction(config)),
    uint32("attention.key_length", "head_dim"),
    uint32("attention.value_length", "head_dim"),
    fileTypePlace,
  ];
}

/** The first of the names that the file has, or the first at all. */
export function firstOf(config: Fields, names: readonly [string, ...string[]]): string {
  return names.find((name) => config.has(name)) ?? names[0];
}

function gatingFunction(config: Fields): number | undefined {
  const name = gatingNames.find((one) => config.has(one));
  if (name === undefined) {
    return undefined;
  }
  const value = config.string(name) ?? "";
  const known = Object.hasOwn(gatingFunctions, value) ? gatingFunctions[value] : undefined;
  if (known === undefined) {
    throw new MalformedInputError(
      `${config.file}: "${name}" is "${value}", which llama.cpp cannot route by; it knows ${Object.keys(gatingFunctions).join(", ")}.`,
      { file: config.file },
    );
  }
  return known;
}
