import type { ModelFamily } from "../architecture.js";
import { uint32 } from "../metadata-rules.js";
import { inLayers, rule } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import {
  attention,
  commonSizes,
  embeddingAndOutput,
  expertSizes,
  expertsOneByOne,
  layerNorms,
  layerPrefix,
  router,
} from "./common.js";

/** MiniMax-M2: llama.cpp `src/models/minimax-m2.cpp`; its norms go over all heads at once. */
export const minimaxM2: ModelFamily = {
  huggingFace: ["MiniMaxM2ForCausalLM"],
  gguf: "minimax-m2",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...attention,
    ...inLayers(layerPrefix, [
      rule("self_attn.q_norm.weight", "attn_q_norm.weight", ["queries"]),
      rule("self_attn.k_norm.weight", "attn_k_norm.weight", ["keys"]),
      rule("block_sparse_moe.e_score_correction_bias", "exp_probs_b.bias", ["experts"]),
    ]),
    ...router("block_sparse_moe.gate.weight"),
    ...expertsOneByOne("block_sparse_moe.experts.", ["w1", "w3", "w2"]),
  ],
  sizes: (config) => ({
    ...commonSizes(config),
    ...expertSizes(config, { count: "num_local_experts", width: "intermediate_size" }),
  }),
  tokenizer: { preTokenizer: "minimax-m2" },
  metadata: [
    ...textModelKeys(),
    uint32("expert_feed_forward_length", "intermediate_size"),
    uint32("rope.dimension_count", "rotary_dim"),
  ],
};
