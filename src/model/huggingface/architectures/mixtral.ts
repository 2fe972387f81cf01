import type { ModelFamily } from "../architecture.js";
import { uint32 } from "../metadata-rules.js";
import { textModelKeys } from "../text-model.js";
import {
  commonSizes,
  embeddingAndOutput,
  expertSizes,
  expertsOneByOne,
  headSize,
  layerNorms,
  router,
} from "./common.js";
import { interleavedAttention } from "./llama.js";

/** Mixtral-8x7B, Mixtral-8x22B: `llama` with experts in llama.cpp. */
export const mixtral: ModelFamily = {
  huggingFace: ["MixtralForCausalLM"],
  gguf: "llama",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...interleavedAttention,
    ...router("block_sparse_moe.gate.weight"),
    ...expertsOneByOne("block_sparse_moe.experts.", ["w1", "w3", "w2"]),
  ],
  sizes: (config) => ({
    ...commonSizes(config),
    ...expertSizes(config, { count: "num_local_experts", width: "intermediate_size" }),
  }),
  tokenizer: { spacePrefix: "always" },
  metadata: [
    ...textModelKeys(),
    uint32("vocab_size", "vocab_size"),
    uint32("rope.dimension_count", ({ config }) => headSize(config)),
  ],
};
