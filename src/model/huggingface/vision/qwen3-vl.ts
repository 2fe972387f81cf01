/** The vision tower and projector of Qwen3-VL and Qwen3.5, as a table of names. */
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { bool, bools, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule, split, type TensorRule } from "../tensor-rules.js";
import { middle } from "../transformations/named.js";
import { epsilonOfText, visionKeys } from "./common.js";

/** A matrix or vector with its bias. */
function withBias(from: string, to: string, columns: string | undefined, rows: string): TensorRule[] {
  return [
    rule(`${from}.weight`, `${to}.weight`, columns === undefined ? [rows] : [columns, rows]),
    rule(`${from}.bias`, `${to}.bias`, [rows]),
  ];
}

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
    split(
      "patch_embed.proj.weight",
      ["patch", "patch", "frames", "channels", "hidden"],
      [
        {
          name: "v.patch_embd.weight",
          shape: ["patch", "patch", "channels", "hidden"],
          via: middle("patch", 0),
        },
        {
          name: "v.patch_embd.weight.1",
          shape: ["patch", "patch", "channels", "hidden"],
          via: middle("patch", 1),
        },
      ],
    ),
    rule("patch_embed.proj.bias", "v.patch_embd.bias", ["hidden"]),
    rule("pos_embed.weight", "v.position_embd.weight", ["hidden", "positions"]),
    ...inLayers(
      "blocks.{layer}.",
      [
        ...withBias("norm1", "ln1", undefined, "hidden"),
        ...withBias("norm2", "ln2", undefined, "hidden"),
        ...withBias("attn.qkv", "attn_qkv", "hidden", "threeHidden"),
        ...withBias("attn.proj", "attn_out", "hidden", "hidden"),
        ...withBias("mlp.linear_fc1", "ffn_up", "hidden", "feedForward"),
        ...withBias("mlp.linear_fc2", "ffn_down", "feedForward", "hidden"),
      ],
      "v.blk.{layer}.",
    ),
    ...withBias("merger.norm", "v.post_ln", undefined, "hidden"),
    ...withBias("merger.linear_fc1", "mm.0", "merged", "merged"),
    ...withBias("merger.linear_fc2", "mm.2", "merged", "text"),
    ...onlyIn(
      "deepstack",
      inLayers(
        "deepstack.{layer}.",
        [
          ...withBias("norm", "norm", undefined, "merged"),
          ...withBias("linear_fc1", "fc1", "merged", "merged"),
          ...withBias("linear_fc2", "fc2", "merged", "text"),
        ],
        "v.deepstack.{layer}.",
      ),
    ),
  ],
  sizes: (config) => {
    const hidden = config.requireSize("hidden_size");
    const merged = hidden * (config.count("spatial_merge_size") ?? 2) ** 2;
    return {
      ...{ hidden, merged, threeHidden: 3 * hidden, frames: 2 },
      text: config.requireSize("text_hidden_size"),
      patch: config.requireSize("patch_size"),
      channels: config.count("in_channels") ?? 3,
      positions: config.count("num_position_embeddings") ?? usualPositions,
      feedForward: config.requireSize("intermediate_size"),
    };
  },
  layerKinds: (config, layer) => (deepstackLayers(config).includes(layer) ? ["deepstack"] : []),
  rename(name, _, config) {
    const own = /^(?:model\.)?visual\.(.*)$/s.exec(name)?.[1];
    // Counted through by the checkpoint, and by the layers that they come after here.
    return own?.replace(/^deepstack_merger_list\.(\d+)\./, (_match, index) => {
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
