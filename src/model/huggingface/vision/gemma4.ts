/** The vision tower and projector of Gemma 4, as a table of names. */
import type { ModelFamily } from "../architecture.js";
import { float32 } from "../metadata-rules.js";
import { optional, rule, type TensorRule } from "../tensor-rules.js";
import { channelsFirst } from "../transformations/named.js";
import { inBlocks, patchSizes, scaleNorm, visionKeys } from "./common.js";

/** A matrix whose inputs and outputs are clipped in some models: four numbers beside it. */
function clippable(from: string, to: string, columns: string, rows: string): TensorRule[] {
  const bounds = ["input_min", "input_max", "output_min", "output_max"];
  return [
    rule(`${from}.linear.weight`, `${to}.weight`, [columns, rows]),
    ...optional(bounds.map((bound) => rule(`${from}.${bound}`, `${to}.${bound}`, ["one"]))),
  ];
}

/** Gemma 4: llama.cpp `tools/mtmd/models/gemma4v.cpp`. */
export const gemma4Tower: ModelFamily = {
  huggingFace: ["Gemma4ForConditionalGeneration"],
  gguf: "clip",
  tensors: [
    rule(
      "patch_embedder.input_proj.weight",
      "v.patch_embd.weight",
      ["patch", "patch", "channels", "hidden"],
      {
        stored: ["pixels", "hidden"],
        via: channelsFirst("patch", "channels"),
      },
    ),
    rule("patch_embedder.position_embedding_table", "v.position_embd.weight", [
      "hidden",
      "positions",
      "axes",
    ]),
    ...inBlocks("encoder.layers.", [
      scaleNorm("input_layernorm", "ln1", "hidden"),
      scaleNorm("post_attention_layernorm", "attn_post_norm", "hidden"),
      scaleNorm("pre_feedforward_layernorm", "ln2", "hidden"),
      scaleNorm("post_feedforward_layernorm", "ffn_post_norm", "hidden"),
      scaleNorm("self_attn.q_norm", "attn_q_norm", "head"),
      scaleNorm("self_attn.k_norm", "attn_k_norm", "head"),
      ...clippable("self_attn.q_proj", "attn_q", "hidden", "queries"),
      ...clippable("self_attn.k_proj", "attn_k", "hidden", "keys"),
      ...clippable("self_attn.v_proj", "attn_v", "hidden", "keys"),
      ...clippable("self_attn.o_proj", "attn_out", "queries", "hidden"),
      ...clippable("mlp.gate_proj", "ffn_gate", "hidden", "feedForward"),
      ...clippable("mlp.up_proj", "ffn_up", "hidden", "feedForward"),
      ...clippable("mlp.down_proj", "ffn_down", "feedForward", "hidden"),
    ]),
    ...optional([rule("std_bias", "v.std_bias", ["hidden"]), rule("std_scale", "v.std_scale", ["hidden"])]),
    rule("embed_vision.embedding_projection.weight", "mm.input_projection.weight", ["hidden", "text"]),
  ],
  sizes(config) {
    const hidden = config.requireSize("hidden_size");
    const heads = config.requireSize("num_attention_heads");
    const head = config.count("head_dim") ?? Math.floor(hidden / heads);
    const { patch = 0, channels = 0 } = patchSizes(config);
    return {
      ...{ one: 1, axes: 2, hidden, head, patch, channels, pixels: patch ** 2 * channels },
      text: config.requireSize("text_hidden_size"),
      feedForward: config.requireSize("intermediate_size"),
      queries: heads * head,
      keys: (config.count("num_key_value_heads") ?? heads) * head,
      positions: config.requireSize("position_embedding_size"),
    };
  },
  leftOut: [
    { names: /^model\.(audio_tower|embed_audio)\./, what: "the audio tower, which cannot be converted here" },
  ],
  rename: (name) => /^(?:model\.)?(?:vision_tower\.|(?=embed_vision\.))(.*)$/s.exec(name)?.[1],
  metadata: [
    ...visionKeys({
      // Images have any size; llama.cpp's converter writes this, and no one reads it.
      imageSize: () => 224,
      heads: "num_attention_heads",
      projector: "gemma4v",
      projectorKey: "vision.projector_type",
    }),
    float32("vision.attention.layer_norm_epsilon", ({ config }) => config.number("layer_norm_eps") ?? 1e-6),
  ],
};
