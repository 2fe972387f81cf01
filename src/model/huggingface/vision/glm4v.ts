/** The vision tower and projector of GLM-4.1V, GLM-4.5V and GLM-4.6V, as a table of names. */
import type { ModelFamily } from "../architecture.js";
import { bool, float32 } from "../metadata-rules.js";
import { rule } from "../tensor-rules.js";
import {
  inBlocks,
  layerNorm,
  matrix,
  patchBias,
  patchKernelOfTwoFrames,
  scaleNorm,
  visionKeys,
  visualSizes,
  withoutVisual,
} from "./common.js";

/**
 * GLM-4V: llama.cpp `tools/mtmd/models/glm4v.cpp`. In config.json `intermediate_size` is the width of the projector;
 * that of the blocks is the text model's (`out_hidden_size`).
 */
export const glm4vTower: ModelFamily = {
  huggingFace: ["Glm4vForConditionalGeneration", "Glm4vMoeForConditionalGeneration"],
  gguf: "clip",
  tensors: [
    patchKernelOfTwoFrames,
    patchBias,
    rule("embeddings.position_embedding.weight", "v.position_embd.weight", ["hidden", "positions"]),
    scaleNorm("post_conv_layernorm", "v.norm_embd", "hidden"),
    ...inBlocks("blocks.", [
      scaleNorm("norm1", "ln1", "hidden"),
      scaleNorm("norm2", "ln2", "hidden"),
      matrix("attn.qkv", "attn_qkv", "hidden", "threeHidden"),
      matrix("attn.proj", "attn_out", "hidden", "hidden"),
      matrix("mlp.gate_proj", "ffn_gate", "hidden", "text"),
      matrix("mlp.up_proj", "ffn_up", "hidden", "text"),
      matrix("mlp.down_proj", "ffn_down", "text", "hidden"),
    ]),
    scaleNorm("post_layernorm", "v.post_ln", "hidden"),
    rule("downsample.weight", "mm.patch_merger.weight", ["merge", "merge", "hidden", "text"]),
    rule("downsample.bias", "mm.patch_merger.bias", ["text"]),
    matrix("merger.proj", "mm.model.fc", "text", "text"),
    ...layerNorm("merger.post_projection_norm", "mm.post_norm", "text"),
    matrix("merger.gate_proj", "mm.gate", "text", "projector"),
    matrix("merger.up_proj", "mm.up", "text", "projector"),
    matrix("merger.down_proj", "mm.down", "projector", "text"),
  ],
  sizes: (config) => ({
    ...visualSizes(config, config.requireSize("hidden_size")),
    projector: config.requireSize("intermediate_size"),
    positions: Math.floor(config.requireSize("image_size") / config.requireSize("patch_size")) ** 2,
  }),
  rename: withoutVisual,
  metadata: [
    ...visionKeys({
      imageSize: (config) => config.requireSize("image_size"),
      heads: "num_heads",
      projector: "glm4v",
    }),
    bool("use_gelu", ({ config }) => config.string("hidden_act") === "gelu" || undefined),
    bool("use_silu", ({ config }) => config.string("hidden_act") === "silu" || undefined),
    float32("vision.attention.layer_norm_epsilon", ({ config }) => config.number("rms_norm_eps") ?? 1e-5),
  ],
};
