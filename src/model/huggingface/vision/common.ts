/**
 * What towers have in common: their metadata keys, in the order of llama.cpp's converter (MmprojModel), and rules for
 * tensors. Names in GGUF are those of llama.cpp `tools/mtmd/clip-impl.h`.
 */
import type { Fields } from "../fields.js";
import { bool, float32, float32s, type MetadataRule, text, uint32 } from "../metadata-rules.js";
import { inLayers, rule, type Sizes, split, type TensorRule } from "../tensor-rules.js";
import { fileTypePlace } from "../text-model.js";
import { middle, part, partOfRow } from "../transformations/named.js";

/** The keys of every tower. `config` is the tower's part of config.json, with what `visionConfig` adds. */
export function visionKeys({
  imageSize,
  heads,
  projector,
  projectorKey = "projector_type",
}: {
  readonly imageSize: (config: Fields) => number;
  /** Field of config.json. */
  readonly heads: "num_heads" | "num_attention_heads";
  /** Name of the projector in llama.cpp `tools/mtmd/clip-impl.h`. */
  readonly projector: string;
  readonly projectorKey?: string;
}): readonly MetadataRule[] {
  return [
    fileTypePlace,
    bool("has_vision_encoder", () => true),
    uint32("vision.projection_dim", ({ sizes }) => sizes.text),
    uint32("vision.image_size", ({ config }) => imageSize(config)),
    uint32("vision.patch_size", ({ config }) => config.requireSize("patch_size")),
    uint32("vision.embedding_length", ({ sizes }) => sizes.hidden),
    uint32("vision.feed_forward_length", "intermediate_size"),
    uint32("vision.block_count", ({ layers }) => layers.hidden),
    uint32("vision.attention.head_count", ({ config }) => config.requireSize(heads)),
    float32s("vision.image_mean", "image_mean"),
    float32s("vision.image_std", "image_std"),
    text(projectorKey, () => projector),
  ];
}

/** The norms of some towers take the text model's. */
export const epsilonOfText: MetadataRule = float32(
  "vision.attention.layer_norm_epsilon",
  ({ config }) => config.number("text_rms_norm_eps") ?? 1e-6,
);

/** Towers of Qwen-VL and SigLIP: 1e-6 in transformers' own code. */
export const usualEpsilon: MetadataRule = float32("vision.attention.layer_norm_epsilon", () => 1e-6);

/** A matrix. */
export function matrix(from: string, to: string, columns: string, rows: string): TensorRule {
  return rule(`${from}.weight`, `${to}.weight`, [columns, rows]);
}

/** A matrix with its bias. */
export function linear(from: string, to: string, columns: string, rows: string): TensorRule[] {
  return [matrix(from, to, columns, rows), rule(`${from}.bias`, `${to}.bias`, [rows])];
}

/** A norm of weights alone. */
export function scaleNorm(from: string, to: string, size: string): TensorRule {
  return rule(`${from}.weight`, `${to}.weight`, [size]);
}

/** A norm of weights and biases. */
export function layerNorm(from: string, to: string, size: string): TensorRule[] {
  return [scaleNorm(from, to, size), rule(`${from}.bias`, `${to}.bias`, [size])];
}

/** Rules of a block: in the checkpoint they follow `prefix`. */
export function inBlocks(prefix: string, rules: readonly TensorRule[]): TensorRule[] {
  return inLayers(`${prefix}{layer}.`, rules, "v.blk.{layer}.");
}

/** The four projections of attention, with biases; `output` is the last one's name in the checkpoint. */
export function attentionOfHeads(output: string): TensorRule[] {
  return [
    ...linear("self_attn.q_proj", "attn_q", "hidden", "hidden"),
    ...linear("self_attn.k_proj", "attn_k", "hidden", "hidden"),
    ...linear("self_attn.v_proj", "attn_v", "hidden", "hidden"),
    ...linear(`self_attn.${output}`, "attn_out", "hidden", "hidden"),
  ];
}

/** Queries, keys and values that are stored as one matrix and read as three. */
export const separateQueriesKeysValues: readonly TensorRule[] = [
  split(
    "attn.qkv.weight",
    ["hidden", "threeHidden"],
    ["q", "k", "v"].map((letter, index) => ({
      name: `attn_${letter}.weight`,
      shape: ["hidden", "hidden"],
      via: part(index),
    })),
  ),
  split(
    "attn.qkv.bias",
    ["threeHidden"],
    ["q", "k", "v"].map((letter, index) => ({
      name: `attn_${letter}.bias`,
      shape: ["hidden"],
      via: partOfRow(index),
    })),
  ),
];

const kernel = ["patch", "patch", "channels", "hidden"];

/** Kernels over the pixels of a patch. */
export function patchKernel(from: string): TensorRule {
  return rule(`${from}.weight`, "v.patch_embd.weight", kernel);
}

/** Kernels over the pixels of a patch in two frames, a tensor for each frame. */
export const patchKernelOfTwoFrames: TensorRule = split(
  "patch_embed.proj.weight",
  ["patch", "patch", "frames", "channels", "hidden"],
  [
    { name: "v.patch_embd.weight", shape: kernel, via: middle("patch", 0) },
    { name: "v.patch_embd.weight.1", shape: kernel, via: middle("patch", 1) },
  ],
);

export const patchBias: TensorRule = rule("patch_embed.proj.bias", "v.patch_embd.bias", ["hidden"]);

/** The two layers that make tokens of squares of patches in the towers of Qwen-VL. */
export const mergingLayers: readonly TensorRule[] = [
  ...linear("merger.linear_fc1", "mm.0", "merged", "merged"),
  ...linear("merger.linear_fc2", "mm.2", "merged", "text"),
];

/** The name without the part that tells towers called "visual" from the text model; undefined for what is its. */
export function withoutVisual(name: string): string | undefined {
  return /^(?:model\.)?visual\.(.*)$/s.exec(name)?.[1];
}

/** As `withoutVisual`, with the merging layers of Qwen2-VL and 2.5 under the names that later models have for them. */
export function qwenTowerName(name: string): string | undefined {
  return withoutVisual(name)?.replace(
    /^merger\.mlp\.([02])\./,
    (_, index) => `merger.linear_fc${index === "0" ? 1 : 2}.`,
  );
}

/** Sizes of the towers called "visual", of `hidden` dimensions. */
export function visualSizes(config: Fields, hidden: number): Sizes {
  const merge = config.count("spatial_merge_size") ?? 2;
  return {
    ...{ hidden, merge, merged: hidden * merge ** 2, threeHidden: 3 * hidden, frames: 2 },
    text: config.requireSize("text_hidden_size"),
    ...patchSizes(config),
  };
}

/** Sizes of patches: their side in pixels, and the colours. */
export function patchSizes(config: Fields): Sizes {
  return {
    patch: config.requireSize("patch_size"),
    channels: config.count("in_channels") ?? config.count("in_chans") ?? 3,
  };
}
