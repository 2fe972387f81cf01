/** The vision tower and projector of Qwen2-VL, as a table of names. */
import type { ModelFamily } from "../architecture.js";
import { uint32 } from "../metadata-rules.js";
import {
  inBlocks,
  layerNorm,
  linear,
  mergingLayers,
  patchKernelOfTwoFrames,
  qwenTowerName,
  separateQueriesKeysValues,
  usualEpsilon,
  visionKeys,
  visualSizes,
} from "./common.js";

/**
 * Qwen2-VL: llama.cpp `tools/mtmd/models/qwen2vl.cpp`. In config.json `embed_dim` is the tower's width and
 * `hidden_size` that of the text model, which llama.cpp's converter writes as the length of the feed-forward
 * networks too; no reader takes it from there.
 */
export const qwen2Vl: ModelFamily = {
  huggingFace: ["Qwen2VLForConditionalGeneration"],
  gguf: "clip",
  tensors: [
    patchKernelOfTwoFrames,
    ...inBlocks("blocks.", [
      ...layerNorm("norm1", "ln1", "hidden"),
      ...layerNorm("norm2", "ln2", "hidden"),
      ...separateQueriesKeysValues,
      ...linear("attn.proj", "attn_out", "hidden", "hidden"),
      ...linear("mlp.fc1", "ffn_up", "hidden", "feedForward"),
      ...linear("mlp.fc2", "ffn_down", "feedForward", "hidden"),
    ]),
    ...layerNorm("merger.ln_q", "v.post_ln", "hidden"),
    ...mergingLayers,
  ],
  sizes(config) {
    const hidden = config.requireSize("embed_dim");
    return { ...visualSizes(config, hidden), feedForward: hidden * (config.count("mlp_ratio") ?? 4) };
  },
  rename: qwenTowerName,
  metadata: [
    ...visionKeys({
      imageSize: (config) => config.count("image_size") ?? 560,
      heads: "num_heads",
      projector: "qwen2vl_merger",
    }),
    uint32("vision.feed_forward_length", ({ config }) => config.requireSize("hidden_size")),
    usualEpsilon,
  ],
};
