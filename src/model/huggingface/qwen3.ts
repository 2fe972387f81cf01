import type { HuggingFaceArchitecture } from "./architecture.js";
import { attention, commonDimensions, denseFeedForward, embeddingAndOutput, headNorms } from "./qwen.js";

/** Dense Qwen3: llama.cpp `src/models/qwen3.cpp`. */
export const qwen3: HuggingFaceArchitecture = {
  huggingFace: "Qwen3ForCausalLM",
  gguf: "qwen3",
  tensors: [...embeddingAndOutput, ...attention, ...headNorms, ...denseFeedForward],
  dimensions: (config) => ({
    ...commonDimensions(config),
    feedForward: config.requireSize("intermediate_size"),
  }),
  metadata: () => new Map(),
};
