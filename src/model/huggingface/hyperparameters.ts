/**
 * The keys under the architecture's name (`qwen3moe.block_count`, ...) from config.json, in the order of
 * llama.cpp's `conversion/base.py` (TextModel.set_gguf_parameters).
 */
import { MalformedInputError } from "../../errors.js";
import type { Metadata } from "../../gguf/metadata.js";
import { MetadataBuilder } from "./builder.js";
import type { Fields } from "./fields.js";

/** Keys of every text model; `fileType` goes to `general.file_type`, which llama.cpp keeps among them. */
export function hyperparameters(architecture: string, config: Fields, fileType: number): Metadata {
  const key = (name: string) => `${architecture}.${name}`;
  return new MetadataBuilder()
    .uint32(key("block_count"), config.requireSize("num_hidden_layers"))
    .uint32(key("context_length"), config.requireSize("max_position_embeddings"))
    .uint32(key("embedding_length"), config.requireSize("hidden_size"))
    .uint32(key("feed_forward_length"), config.count("intermediate_size"))
    .uint32(key("attention.head_count"), config.requireSize("num_attention_heads"))
    .uint32(key("attention.head_count_kv"), config.count("num_key_value_heads"))
    .add(ropeParameters(architecture, config))
    .float32(key("attention.layer_norm_rms_epsilon"), config.requireNumber("rms_norm_eps"))
    .uint32(key("expert_count"), config.count("num_experts"))
    .uint32(key("expert_used_count"), config.count("num_experts_per_tok"))
    .uint32(key("attention.key_length"), config.count("head_dim"))
    .uint32(key("attention.value_length"), config.count("head_dim"))
    .uint32("general.file_type", fileType).entries;
}

/** Widths of routed and shared experts (llama.cpp `conversion/qwen.py`, Qwen2MoeModel). */
export function expertLengths(architecture: string, config: Fields): Metadata {
  return new MetadataBuilder()
    .uint32(`${architecture}.expert_feed_forward_length`, config.count("moe_intermediate_size"))
    .uint32(
      `${architecture}.expert_shared_feed_forward_length`,
      config.count("shared_expert_intermediate_size"),
    ).entries;
}

/** Rotary position embedding: base frequency and, for stretched contexts, linear or YaRN scaling. */
function ropeParameters(architecture: string, config: Fields): Metadata {
  const key = (name: string) => `${architecture}.rope.${name}`;
  const scaling = config.object("rope_parameters") ?? config.object("rope_scaling");
  const builder = new MetadataBuilder();
  const kind = scaling?.string("rope_type") ?? scaling?.string("type") ?? "default";
  if (scaling && kind !== "default") {
    if (kind !== "linear" && kind !== "yarn") {
      throw new MalformedInputError(
        `${config.file}: rope scaling "${kind}" is not supported; "linear" and "yarn" are.`,
        { file: config.file },
      );
    }
    builder.string(key("scaling.type"), kind).float32(key("scaling.factor"), scaling.requireNumber("factor"));
    if (kind === "yarn") addYarn(builder, key, scaling, config);
  }
  return builder.float32(key("freq_base"), scaling?.number("rope_theta") ?? config.number("rope_theta"))
    .entries;
}

function addYarn(
  builder: MetadataBuilder,
  key: (name: string) => string,
  scaling: Fields,
  config: Fields,
): void {
  const original = "original_max_position_embeddings";
  builder
    .uint32(
      key("scaling.original_context_length"),
      scaling.count(original) ?? config.count(original) ?? scaling.requireSize(original),
    )
    .float32(key("scaling.yarn_ext_factor"), scaling.number("extrapolation_factor"))
    .float32(
      key("scaling.yarn_attn_factor"),
      scaling.number("attention_factor") ?? scaling.number("attn_factor"),
    )
    .float32(key("scaling.yarn_beta_fast"), scaling.number("beta_fast"))
    .float32(key("scaling.yarn_beta_slow"), scaling.number("beta_slow"));
}
