import type { ModelFamily } from "../architecture.js";
import { optional } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import { attention, attentionBiases, commonSizes, embeddingAndOutput, layerNorms } from "./common.js";
import {
  qwenExpertKeys,
  qwenExpertSizes,
  qwenExperts,
  qwenSharedExpert,
  qwenSharedExpertSize,
} from "./qwen-experts.js";

/** Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B: llama.cpp `src/models/qwen2moe.cpp`. */
export const qwen2Moe: ModelFamily = {
  huggingFace: ["Qwen2MoeForCausalLM"],
  gguf: "qwen2moe",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...attention,
    ...optional(attentionBiases),
    ...qwenExperts,
    ...qwenSharedExpert,
  ],
  sizes: (config) => ({
    ...commonSizes(config),
    ...qwenExpertSizes(config),
    ...qwenSharedExpertSize(config),
  }),
  metadata: [...textModelKeys(), ...qwenExpertKeys],
};
