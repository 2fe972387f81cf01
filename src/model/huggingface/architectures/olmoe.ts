import type { ModelFamily } from "../architecture.js";
import { float32 } from "../metadata-rules.js";
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

/** OLMoE-1B-7B: llama.cpp `src/models/olmoe.cpp`; its norms go over all heads at once. */
export const olmoe: ModelFamily = {
  huggingFace: ["OlmoeForCausalLM"],
  gguf: "olmoe",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...attention,
    ...inLayers(layerPrefix, [
      rule("self_attn.q_norm.weight", "attn_q_norm.weight", ["queries"]),
      rule("self_attn.k_norm.weight", "attn_k_norm.weight", ["keys"]),
    ]),
    ...router("mlp.gate.weight"),
    ...expertsOneByOne("mlp.experts."),
  ],
  sizes: (config) => ({
    ...commonSizes(config),
    ...expertSizes(config, { count: "num_experts", width: "intermediate_size" }),
  }),
  tokenizer: { preTokenizer: "olmo" },
  metadata: [
    ...textModelKeys(),
    // Whatever config.json says: its norms were trained with this one.
    float32("attention.layer_norm_rms_epsilon", () => 1e-5),
  ],
};
