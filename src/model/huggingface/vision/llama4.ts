/** The vision tower and projector of Llama 4, as a table of names. */
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { bool, float32, uint32 } from "../metadata-rules.js";
import { rule } from "../tensor-rules.js";
import { attentionOfHeads, inBlocks, layerNorm, linear, matrix, patchSizes, visionKeys } from "./common.js";

/**
 * Llama 4: llama.cpp `tools/mtmd/models/llama4.cpp`.
 *
 * The norm before the feed-forward network is `ln2`, as the graph has it. The converter of llama.cpp v0.5.0 calls it
 * `attn_post_norm` (its table has the name twice, the second time for Gemma 4), by which it would be applied to the
 * output of attention and `ln2` be missing.
 */
export const llama4Tower: ModelFamily = {
  huggingFace: ["Llama4ForConditionalGeneration"],
  gguf: "clip",
  tensors: [
    rule("class_embedding", "v.class_embd", ["hidden"]),
    rule("positional_embedding_vlm", "v.position_embd.weight", ["hidden", "positions"]),
    matrix("patch_embedding.linear", "v.patch_embd", "pixels", "hidden"),
    ...layerNorm("layernorm_pre", "v.pre_ln", "hidden"),
    ...inBlocks("model.layers.", [
      ...layerNorm("input_layernorm", "ln1", "hidden"),
      ...layerNorm("post_attention_layernorm", "ln2", "hidden"),
      ...attentionOfHeads("o_proj"),
      ...linear("mlp.fc1", "ffn_up", "hidden", "feedForward"),
      ...linear("mlp.fc2", "ffn_down", "feedForward", "hidden"),
    ]),
    ...layerNorm("layernorm_post", "v.post_ln", "hidden"),
    matrix("vision_adapter.mlp.fc1", "mm.model.mlp.1", "feedForward", "projectorInput"),
    matrix("vision_adapter.mlp.fc2", "mm.model.mlp.2", "projectorInput", "projectorOutput"),
    matrix("multi_modal_projector.linear_1", "mm.model.fc", "projectorOutput", "text"),
  ],
  sizes(config) {
    const { patch = 0, channels = 0 } = patchSizes(config);
    const perSide = Math.floor(config.requireSize("image_size") / patch);
    return {
      hidden: config.requireSize("hidden_size"),
      text: config.requireSize("text_hidden_size"),
      feedForward: config.requireSize("intermediate_size"),
      projectorInput: config.requireSize("projector_input_dim"),
      projectorOutput: config.requireSize("projector_output_dim"),
      pixels: patch ** 2 * channels,
      positions: perSide ** 2 + 1,
    };
  },
  rename: (name) => /^(?:model\.)?(?:vision_model\.|(?=multi_modal_projector\.))(.*)$/s.exec(name)?.[1],
  metadata: [
    ...visionKeys({
      imageSize: (config) => config.requireSize("image_size"),
      heads: "num_attention_heads",
      projector: "llama4",
    }),
    float32("vision.attention.layer_norm_epsilon", ({ config }) => config.requireNumber("norm_eps")),
    uint32("vision.projector.scale_factor", ({ config }) => patchesPerToken(config)),
    bool("use_gelu", () => true),
  ],
};

/** Patches on each side of what becomes one token. */
function patchesPerToken(config: Fields): number {
  const ratio = config.requireNumber("pixel_shuffle_ratio");
  return ratio > 0 && ratio <= 1
    ? Math.trunc(1 / ratio)
    : config.wrong("pixel_shuffle_ratio", "a number up to 1");
}
