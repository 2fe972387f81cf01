/** The vision tower and projector of Qwen2.5-VL, as a table of names. */
import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { bool, uint32 } from "../metadata-rules.js";
import {
  inBlocks,
  linear,
  mergingLayers,
  patchKernelOfTwoFrames,
  qwenTowerName,
  scaleNorm,
  separateQueriesKeysValues,
  usualEpsilon,
  visionKeys,
  visualSizes,
} from "./common.js";

/** Qwen2.5-VL: llama.cpp `tools/mtmd/models/qwen2vl.cpp`. Most blocks attend to windows of the image only. */
export const qwen25Vl: ModelFamily = {
  huggingFace: ["Qwen2_5_VLForConditionalGeneration"],
  gguf: "clip",
  tensors: [
    patchKernelOfTwoFrames,
    ...inBlocks("blocks.", [
      scaleNorm("norm1", "ln1", "hidden"),
      scaleNorm("norm2", "ln2", "hidden"),
      ...separateQueriesKeysValues,
      ...linear("attn.proj", "attn_out", "hidden", "hidden"),
      ...linear("mlp.gate_proj", "ffn_gate", "hidden", "feedForward"),
      ...linear("mlp.up_proj", "ffn_up", "hidden", "feedForward"),
      ...linear("mlp.down_proj", "ffn_down", "feedForward", "hidden"),
    ]),
    scaleNorm("merger.ln_q", "v.post_ln", "hidden"),
    ...mergingLayers,
  ],
  sizes: (config) => ({
    ...visualSizes(config, config.requireSize("hidden_size")),
    feedForward: config.requireSize("intermediate_size"),
  }),
  rename: qwenTowerName,
  metadata: [
    ...visionKeys({
      imageSize: (config) => config.count("image_size") ?? 560,
      heads: "num_heads",
      projector: "qwen2.5vl_merger",
    }),
    bool("use_silu", () => true),
    uint32("vision.n_wa_pattern", ({ config }) => fullAttentionPeriod(config)),
    usualEpsilon,
  ],
};

/** Of how many blocks the last one attends to the whole image; llama.cpp knows a regular pattern only. */
function fullAttentionPeriod(config: Fields): number {
  const key = "fullatt_block_indexes";
  const blocks = config.items(key).map(Number);
  const period = (blocks[0] ?? Number.NaN) + 1;
  return blocks.every((block, index) => block === (index + 1) * period - 1) &&
    Number.isInteger(period) &&
    period > 0
    ? period
    : config.wrong(key, "the last block of each of several equal groups");
}
