import type { ModelFamily } from "../architecture.js";
import { textModelKeys } from "../text-model.js";
import { attention, commonSizes, embeddingAndOutput, headNorms, layerNorms } from "./common.js";
import { qwenExpertKeys, qwenExpertSizes, qwenExperts } from "./qwen-experts.js";

/** Qwen3-30B-A3B, Qwen3-Coder-30B-A3B, Qwen3-235B-A22B: llama.cpp `src/models/qwen3moe.cpp`. */
export const qwen3Moe: ModelFamily = {
  huggingFace: ["Qwen3MoeForCausalLM"],
  gguf: "qwen3moe",
  tensors: [...embeddingAndOutput, ...layerNorms, ...attention, ...headNorms, ...qwenExperts],
  sizes: (config) => ({ ...commonSizes(config), ...qwenExpertSizes(config) }),
  metadata: [...textModelKeys(), ...qwenExpertKeys],
};
