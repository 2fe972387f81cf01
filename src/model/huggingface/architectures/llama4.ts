import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { uint32 } from "../metadata-rules.js";
import { ropeParameters } from "../rope.js";
import { inLayers, onlyIn, rule, split } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import { chain, part, transpose } from "../transformations/named.js";
import {
  attention,
  commonSizes,
  embeddingAndOutput,
  expertSizes,
  feedForward,
  headSize,
  layerNorms,
  layerPrefix,
  router,
  visionTower,
} from "./common.js";

const gateOrUp = ["hidden", "expertFeedForward", "experts"];

/** Llama 4 Scout and Maverick: llama.cpp `src/models/llama4.cpp`. Experts with rows and columns exchanged. */
export const llama4: ModelFamily = {
  huggingFace: ["Llama4ForConditionalGeneration", "Llama4ForCausalLM"],
  gguf: "llama4",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...attention,
    ...onlyIn("dense", feedForward("feed_forward.", "feedForward")),
    ...onlyIn("experts", [
      ...router("feed_forward.router.weight"),
      ...feedForward("feed_forward.shared_expert.", "expertFeedForward", "_shexp"),
      ...inLayers(layerPrefix, [
        rule(
          "feed_forward.experts.down_proj",
          "ffn_down_exps.weight",
          ["expertFeedForward", "hidden", "experts"],
          {
            stored: ["hidden", "expertFeedForward", "experts"],
            via: transpose,
          },
        ),
        split(
          "feed_forward.experts.gate_up_proj",
          ["twiceExpertFeedForward", "hidden", "experts"],
          [
            { name: "ffn_gate_exps.weight", shape: gateOrUp, via: chain(transpose, part(0)) },
            { name: "ffn_up_exps.weight", shape: gateOrUp, via: chain(transpose, part(1)) },
          ],
        ),
      ]),
    ]),
  ],
  sizes: (config) => ({
    ...commonSizes(config),
    ...expertSizes(config, { count: "num_local_experts", width: "intermediate_size" }),
    feedForward: config.requireSize("intermediate_size_mlp"),
  }),
  layerKinds: (config, layer) => [hasExperts(config, layer) ? "experts" : "dense"],
  leftOut: [visionTower],
  rename: (name) => name.replace(/^language_model\./, ""),
  computed: (config) => {
    const values = llama3Factors(config);
    return values ? [{ name: "rope_freqs.weight", values }] : [];
  },
  tokenizer: { preTokenizer: "llama4" },
  metadata: [
    ...textModelKeys(["llama3"]),
    uint32("feed_forward_length", "intermediate_size_mlp"),
    uint32("vocab_size", "vocab_size"),
    uint32("rope.dimension_count", ({ config }) => headSize(config)),
    uint32("interleave_moe_layer_step", "interleave_moe_layer_step"),
    uint32("expert_feed_forward_length", "intermediate_size"),
  ],
};

function hasExperts(config: Fields, layer: number): boolean {
  const listed = config.items("moe_layers");
  if (listed.length > 0) {
    return listed.includes(layer);
  }
  return (layer + 1) % (config.count("interleave_moe_layer_step") ?? 1) === 0;
}

/**
 * Divisors of the rotary frequencies for a stretched context (Llama 3): none for short waves, the whole factor for
 * those longer than the original context, something between for the rest. Undefined without such a stretch.
 */
function llama3Factors(config: Fields): readonly number[] | undefined {
  const rope = ropeParameters(config);
  if (rope.string("rope_type") !== "llama3") {
    return undefined;
  }
  const base = rope.number("rope_theta") ?? 10000;
  const factor = rope.number("factor") ?? 8;
  const low = rope.number("low_freq_factor") ?? 1;
  const high = rope.number("high_freq_factor") ?? 4;
  const context = rope.number("original_max_position_embeddings") ?? 8192;
  const head = headSize(config);
  return Array.from({ length: head / 2 }, (_, index) => {
    const wave = (2 * Math.PI) / Math.fround(1 / Math.fround(base ** Math.fround((2 * index) / head)));
    if (wave < context / high) {
      return 1;
    }
    if (wave > context / low) {
      return factor;
    }
    const smooth = (context / wave - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
