import type { ModelFamily } from "../architecture.js";
import { textModelKeys } from "../text-model.js";
import {
  attention,
  commonSizes,
  embeddingAndOutput,
  feedForward,
  feedForwardSize,
  headNorms,
  layerNorms,
} from "./common.js";

/** Dense Qwen3: llama.cpp `src/models/qwen3.cpp`. */
export const qwen3: ModelFamily = {
  huggingFace: ["Qwen3ForCausalLM"],
  gguf: "qwen3",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...attention,
    ...headNorms,
    ...feedForward("mlp.", "feedForward"),
  ],
  sizes: (config) => ({ ...commonSizes(config), ...feedForwardSize(config) }),
  metadata: textModelKeys(),
};
