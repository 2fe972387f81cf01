/** What towers have in common: their metadata keys, in the order of llama.cpp's converter (MmprojModel). */
import type { Fields } from "../fields.js";
import { bool, float32, float32s, type MetadataRule, text, uint32 } from "../metadata-rules.js";
import { fileTypePlace } from "../text-model.js";

/** The keys of every tower. `config` is the tower's part of config.json, with what `visionConfig` adds. */
export function visionKeys({
  imageSize,
  heads,
  projector,
}: {
  readonly imageSize: (config: Fields) => number;
  /** Field of config.json. */
  readonly heads: string;
  /** Name of the projector in llama.cpp `tools/mtmd/clip-impl.h`. */
  readonly projector: string;
}): readonly MetadataRule[] {
  return [
    fileTypePlace,
    bool("has_vision_encoder", () => true),
    uint32("vision.projection_dim", ({ sizes }) => sizes.text),
    uint32("vision.image_size", ({ config }) => imageSize(config)),
    uint32("vision.patch_size", ({ config }) => config.requireSize("patch_size")),
    uint32("vision.embedding_length", ({ sizes }) => sizes.hidden),
    uint32("vision.feed_forward_length", ({ sizes }) => sizes.feedForward),
    uint32("vision.block_count", ({ layers }) => layers.hidden),
    uint32("vision.attention.head_count", ({ config }) => config.requireSize(heads)),
    float32s("vision.image_mean", "image_mean"),
    float32s("vision.image_std", "image_std"),
    text("projector_type", () => projector),
  ];
}

/** The norms of some towers take the text model's. */
export const epsilonOfText: MetadataRule = float32(
  "vision.attention.layer_norm_epsilon",
  ({ config }) => config.number("text_rms_norm_eps") ?? 1e-6,
);
