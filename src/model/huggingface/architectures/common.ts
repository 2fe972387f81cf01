/**
 * Rules and sizes that many families share. Names are those of llama.cpp `gguf-py/gguf/tensor_mapping.py`; the parts
 * of a layer are written without the layer's prefix.
 */

import { MalformedInputError } from "../../../errors.js";
import { mostOfFacts } from "../../architecture.js";
import type { LeftOut, PredictionLayers } from "../architecture.js";
import type { Fields } from "../fields.js";
import { type MetadataContext, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, optional, rule, type Sizes, split, type TensorRule } from "../tensor-rules.js";
import { part } from "../transformations/named.js";

/** Where the layers of most families are. */
export const layerPrefix = "model.layers.{layer}.";

export const embeddingAndOutput: readonly TensorRule[] = [
  rule("model.embed_tokens.weight", "token_embd.weight", ["hidden", "vocabulary"]),
  rule("model.norm.weight", "output_norm.weight", ["hidden"]),
  rule("lm_head.weight", "output.weight", ["hidden", "vocabulary"], { optional: "if tied" }),
];

export const layerNorms: readonly TensorRule[] = inLayers(layerPrefix, [
  rule("input_layernorm.weight", "attn_norm.weight", ["hidden"]),
  rule("post_attention_layernorm.weight", "ffn_norm.weight", ["hidden"]),
]);

export const attention: readonly TensorRule[] = inLayers(layerPrefix, [
  rule("self_attn.q_proj.weight", "attn_q.weight", ["hidden", "queries"]),
  rule("self_attn.k_proj.weight", "attn_k.weight", ["hidden", "keys"]),
  rule("self_attn.v_proj.weight", "attn_v.weight", ["hidden", "keys"]),
  rule("self_attn.o_proj.weight", "attn_output.weight", ["queries", "hidden"]),
]);

export const attentionBiases: readonly TensorRule[] = inLayers(layerPrefix, [
  rule("self_attn.q_proj.bias", "attn_q.bias", ["queries"]),
  rule("self_attn.k_proj.bias", "attn_k.bias", ["keys"]),
  rule("self_attn.v_proj.bias", "attn_v.bias", ["keys"]),
]);

/** Norms of the single heads of queries and keys. */
export const headNorms: readonly TensorRule[] = inLayers(layerPrefix, [
  rule("self_attn.q_norm.weight", "attn_q_norm.weight", ["head"]),
  rule("self_attn.k_norm.weight", "attn_k_norm.weight", ["head"]),
]);

/** A feed-forward network of three matrices; `names` are those of gate, up and down, `suffix` that in GGUF. */
export function feedForward(
  prefix: string,
  size: string,
  suffix = "",
  [gate, up, down]: readonly [string, string, string] = ["gate_proj", "up_proj", "down_proj"],
): TensorRule[] {
  return inLayers(layerPrefix, [
    rule(`${prefix}${gate}.weight`, `ffn_gate${suffix}.weight`, ["hidden", size]),
    rule(`${prefix}${up}.weight`, `ffn_up${suffix}.weight`, ["hidden", size]),
    rule(`${prefix}${down}.weight`, `ffn_down${suffix}.weight`, [size, "hidden"]),
  ]);
}

/** Routed experts, a tensor for each; `prefix` ends before the expert's number. */
export function expertsOneByOne(
  prefix: string,
  [gate, up, down]: readonly [string, string, string] = ["gate_proj", "up_proj", "down_proj"],
): TensorRule[] {
  const from = `${prefix}{expert}.`;
  return inLayers(layerPrefix, [
    rule(`${from}${down}.weight`, "ffn_down_exps.weight", ["expertFeedForward", "hidden", "experts"]),
    rule(`${from}${gate}.weight`, "ffn_gate_exps.weight", ["hidden", "expertFeedForward", "experts"]),
    rule(`${from}${up}.weight`, "ffn_up_exps.weight", ["hidden", "expertFeedForward", "experts"]),
  ]);
}

/** Routed experts in one tensor, gate before up (transformers 5). The sizes need `twiceExpertFeedForward`. */
export const expertsInOne: readonly TensorRule[] = inLayers(layerPrefix, [
  rule("mlp.experts.down_proj", "ffn_down_exps.weight", ["expertFeedForward", "hidden", "experts"]),
  split(
    "mlp.experts.gate_up_proj",
    ["hidden", "twiceExpertFeedForward", "experts"],
    [
      { name: "ffn_gate_exps.weight", shape: ["hidden", "expertFeedForward", "experts"], via: part(0) },
      { name: "ffn_up_exps.weight", shape: ["hidden", "expertFeedForward", "experts"], via: part(1) },
    ],
  ),
]);

/** The matrix that sends a token to its experts. */
export function router(name: string): TensorRule[] {
  return inLayers(layerPrefix, [rule(name, "ffn_gate_inp.weight", ["hidden", "experts"])]);
}

/** What a prediction layer (MTP) has beside a layer's usual parts. */
export const predictionHead: readonly TensorRule[] = onlyIn(
  "prediction",
  inLayers(layerPrefix, [
    rule("eh_proj.weight", "nextn.eh_proj.weight", ["twiceHidden", "hidden"]),
    rule("enorm.weight", "nextn.enorm.weight", ["hidden"]),
    rule("hnorm.weight", "nextn.hnorm.weight", ["hidden"]),
    rule("shared_head.norm.weight", "nextn.shared_head_norm.weight", ["hidden"]),
    ...optional([
      rule("embed_tokens.weight", "nextn.embed_tokens.weight", ["hidden", "vocabulary"]),
      rule("shared_head.head.weight", "nextn.shared_head_head.weight", ["hidden", "vocabulary"]),
    ]),
  ]),
);

/** Key of the number of prediction layers that are in the file. */
export const predictionKey = uint32("nextn_predict_layers", ({ layers }) => layers.prediction || undefined);

/** Prediction layers as config.json counts them. */
export function predictionLayers(kept: PredictionLayers["kept"]): PredictionLayers {
  return { kept, count: (config) => config.count("num_nextn_predict_layers") ?? 0 };
}

/** Layers before `first_k_dense_replace` are dense, the others have experts. */
export function denseThenExperts(config: Fields, layer: number): readonly string[] {
  return [layer < (config.count("first_k_dense_replace") ?? 0) ? "dense" : "experts"];
}

/** Tensors of a vision tower, which are a file of their own in GGUF. */
export const visionTower: LeftOut = {
  names:
    /(^|\.)(visual|vision_tower|vision_model|multi_modal_projector|embed_vision|embed_audio|audio_tower)\./,
  what: "the vision tower, which is a file of its own in GGUF (`convert --mmproj`)",
};

/** The name without the part that tells the text model from others of the checkpoint. */
export function withoutLanguageModel(name: string): string {
  return name.replace("language_model.", "");
}

/** Part of a head that is turned, in whole dimensions. */
export function rotatedPart(size: number, { rope }: MetadataContext, otherwise: number): number {
  return Math.trunc(size * (rope.number("partial_rotary_factor") ?? otherwise));
}

/** Width of a head, which config.json need not say. */
export function headSize(config: Fields): number {
  return (
    config.count("head_dim") ??
    Math.floor(config.requireSize("hidden_size") / config.requireSize("num_attention_heads"))
  );
}

/** Sizes that nearly all models have. */
export function commonSizes(config: Fields): Sizes {
  const hidden = config.requireSize("hidden_size");
  const heads = config.requireSize("num_attention_heads");
  const keyHeads = config.count("num_key_value_heads") ?? heads;
  const head = config.count("head_dim") ?? hidden / heads;
  if (!Number.isInteger(head) || head === 0) {
    config.wrong("num_attention_heads", `a divisor of ${hidden}`);
  }
  if (keyHeads === 0 || heads % keyHeads !== 0) {
    config.wrong("num_key_value_heads", `a divisor of num_attention_heads (${heads})`);
  }
  return {
    one: 1,
    hidden,
    twiceHidden: 2 * hidden,
    vocabulary: config.requireSize("vocab_size", mostOfFacts.vocabulary),
    heads,
    keyHeads,
    head,
    queries: heads * head,
    keys: keyHeads * head,
  };
}

/** The size of a dense feed-forward network, for families where no layer may lack it. */
export function feedForwardSize(config: Fields): Sizes {
  return { feedForward: config.requireSize("intermediate_size") };
}

/** Sizes of routed experts, by the names that config.json has for them. */
export function expertSizes(
  config: Fields,
  names: { readonly count: string; readonly width: string; readonly used?: string },
): Sizes {
  const experts = config.requireSize(names.count, mostOfFacts.experts);
  const usedName = names.used ?? "num_experts_per_tok";
  const used = config.requireSize(usedName);
  if (used > experts) {
    config.wrong(usedName, `a number from 1 to ${experts}`);
  }
  const expertFeedForward = config.requireSize(names.width);
  return { experts, expertFeedForward, twiceExpertFeedForward: 2 * expertFeedForward };
}

/** Throws if config.json asks for layers without experts, which llama.cpp has no place for in some families. */
export function checkAllLayersHaveExperts(config: Fields): void {
  const dense =
    config.items("mlp_only_layers").length > 0 || (config.count("decoder_sparse_step") ?? 1) !== 1;
  if (dense) {
    throw new MalformedInputError(
      `${config.file}: mlp_only_layers or decoder_sparse_step ask for layers without experts, which llama.cpp cannot run in this architecture.`,
      { file: config.file },
    );
  }
}
