/** The vision tower and projector of Qwen3-VL and Qwen3.5, as a table of names. */
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { bool, bools, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule } from "../tensor-rules.js";
import {
  epsilonOfText,
  inBlocks,
  layerNorm,
  linear,
  mergingLayers,
  patchBias,
  patchKernelOfTwoFrames,
  visionKeys,
  visualSizes,
  withoutVisual,
} from "./common.js";

/**
 * The tower of Qwen3-VL and Qwen3.5: llama.cpp `tools/mtmd/models/qwen3vl.cpp`. Some layers also feed the first layers
 * of the text model ("deepstack").
 */
export const qwen3Vl: ModelFamily = {
  huggingFace: [
    "Qwen3VLForConditionalGeneration",
    "Qwen3VLMoeForConditionalGeneration",
    "Qwen3_5ForConditionalGeneration",
    "Qwen3_5MoeForConditionalGeneration",
  ],
  gguf: "clip",
  tensors: [
    patchKernelOfTwoFrames,
    patchBias,
    rule("pos_embed.weight", "v.position_embd.weight", ["hidden", "positions"]),
    ...inBlocks("blocks.", [
      ...layerNorm("norm1", "ln1", "hidden"),
      ...layerNorm("norm2", "ln2", "hidden"),
      ...linear("attn.qkv", "attn_qkv", "hidden", "threeHidden"),
      ...linear("attn.proj", "attn_out", "hidden", "hidden"),
      ...linear("mlp.linear_fc1", "ffn_up", "hidden", "feedForward"),
      ...linear("mlp.linear_fc2", "ffn_down", "feedForward", "hidden"),
    ]),
    ...layerNorm("merger.norm", "v.post_ln", "hidden"),
    ...mergingLayers,
    ...onlyIn(
      "deepstack",
      inLayers(
        "deepstack.{layer}.",
        [
          ...layerNorm("norm", "norm", "merged"),
          ...linear("linear_fc1", "fc1", "merged", "merged"),
          ...linear("linear_fc2", "fc2", "merged", "text"),
        ],
        "v.deepstack.{layer}.",
      ),
    ),
  ],
  sizes: (config) => ({
    ...visualSizes(config, config.requireSize("hidden_size")),
    positions: config.count("num_position_embeddings") ?? usualPositions,
    feedForward: config.requireSize("intermediate_size"),
  }),
  layerKinds: (config, layer) => (deepstackLayers(config).includes(layer) ? ["deepstack"] : []),
  rename(name, _, config) {
    // Counted through by the checkpoint, and by the layers that they come after here.
    return withoutVisual(name)?.replace(/^deepstack_merger_list\.(\d+)\./, (_match, index) => {
      return `deepstack.${deepstackLayers(config)[Number(index)] ?? "none"}.`;
    });
  },
  metadata: [
    ...visionKeys({
      imageSize: (config) =>
        config.count("image_size") ??
        Math.floor(
          Math.sqrt(config.count("num_position_embeddings") ?? usualPositions) *
            config.requireSize("patch_size"),
        ),
      heads: "num_heads",
      projector: "qwen3vl_merger",
    }),
    bool("use_gelu", () => true),
    uint32("vision.spatial_merge_size", "spatial_merge_size"),
    epsilonOfText,
    bools("vision.is_deepstack_layers", ({ config, layers }) => {
      const listed = deepstackLayers(config);
      return Array.from({ length: layers.hidden }, (_, layer) => listed.includes(layer));
    }),
  ],
};

const usualPositions = 2304;

function deepstackLayers(config: Fields): readonly number[] {
  return config.items("deepstack_visual_indexes").map(Number);
}
