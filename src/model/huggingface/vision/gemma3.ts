/** The vision tower (SigLIP) and projector of Gemma 3, as a table of names. */
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { bool, float32, uint32 } from "../metadata-rules.js";
import { rule } from "../tensor-rules.js";
import { plusOne } from "../transformations/named.js";
import {
  attentionOfHeads,
  inBlocks,
  layerNorm,
  linear,
  patchKernel,
  patchSizes,
  visionKeys,
} from "./common.js";

/** Gemma 3: llama.cpp `tools/mtmd/models/siglip.cpp`. */
export const gemma3Tower: ModelFamily = {
  huggingFace: ["Gemma3ForConditionalGeneration"],
  gguf: "clip",
  tensors: [
    patchKernel("embeddings.patch_embedding"),
    rule("embeddings.patch_embedding.bias", "v.patch_embd.bias", ["hidden"]),
    rule("embeddings.position_embedding.weight", "v.position_embd.weight", ["hidden", "positions"]),
    ...inBlocks("encoder.layers.", [
      ...layerNorm("layer_norm1", "ln1", "hidden"),
      ...layerNorm("layer_norm2", "ln2", "hidden"),
      ...attentionOfHeads("out_proj"),
      ...linear("mlp.fc1", "ffn_up", "hidden", "feedForward"),
      ...linear("mlp.fc2", "ffn_down", "feedForward", "hidden"),
    ]),
    ...layerNorm("post_layernorm", "v.post_ln", "hidden"),
    rule("multi_modal_projector.mm_input_projection_weight", "mm.input_projection.weight", [
      "text",
      "hidden",
    ]),
    rule("multi_modal_projector.mm_soft_emb_norm.weight", "mm.soft_emb_norm.weight", ["hidden"], {
      via: plusOne,
    }),
  ],
  sizes: (config) => ({
    hidden: config.requireSize("hidden_size"),
    text: config.requireSize("text_hidden_size"),
    feedForward: config.requireSize("intermediate_size"),
    positions: patchesPerSide(config) ** 2,
    ...patchSizes(config),
  }),
  // The head sums up an image in one vector, which the text model does not see.
  rename: (name) =>
    /^(?:model\.)?(?:vision_tower\.(?:vision_model\.)?(?!head\.)(?=.)|(?=multi_modal_projector\.))(.*)$/s.exec(
      name,
    )?.[1],
  // llama.cpp's converter has them so whatever type is asked for: BF16 and Q8_0 gave wrong images.
  fixedTypes: new Map([
    ["mm.input_projection.weight", "F16"],
    ["v.patch_embd.weight", "F32"],
  ]),
  metadata: [
    ...visionKeys({
      imageSize: (config) => config.requireSize("image_size"),
      heads: "num_attention_heads",
      projector: "gemma3",
    }),
    float32("vision.attention.layer_norm_epsilon", ({ config }) => config.number("layer_norm_eps") ?? 1e-6),
    bool("use_gelu", () => true),
    // Patches to a token on each side; 4 is what llama.cpp takes without the key.
    uint32("vision.projector.scale_factor", ({ config }) => {
      const tokens = Math.floor(Math.sqrt(config.count("image_seq_length") ?? 256));
      const factor = Math.floor(patchesPerSide(config) / tokens);
      return factor > 0 && factor !== 4 ? factor : undefined;
    }),
  ],
};

function patchesPerSide(config: Fields): number {
  return Math.floor(config.requireSize("image_size") / config.requireSize("patch_size"));
}
