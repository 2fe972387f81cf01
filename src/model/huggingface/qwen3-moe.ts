import type { Metadata } from "../../gguf/metadata.js";
import type { HuggingFaceArchitecture } from "./architecture.js";
import { expertLengths } from "./hyperparameters.js";
import {
  attention,
  commonDimensions,
  embeddingAndOutput,
  expertDimensions,
  headNorms,
  routedExperts,
} from "./qwen.js";

/** Qwen3-30B-A3B, Qwen3-Coder-30B-A3B, Qwen3-235B-A22B: llama.cpp `src/models/qwen3moe.cpp`. */
export const qwen3Moe: HuggingFaceArchitecture = {
  huggingFace: "Qwen3MoeForCausalLM",
  gguf: "qwen3moe",
  tensors: [...embeddingAndOutput, ...attention, ...headNorms, ...routedExperts],
  dimensions: (config) => ({ ...commonDimensions(config), ...expertDimensions(config) }),
  metadata: (config): Metadata => expertLengths("qwen3moe", config),
};
