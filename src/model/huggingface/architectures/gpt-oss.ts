import type { ModelFamily } from "../architecture.js";
import { uint32 } from "../metadata-rules.js";
import { inLayers, rule, split } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import { chain, everySecondRow, everySecondValue, transpose } from "../transformations/named.js";
import {
  attention,
  attentionBiases,
  commonSizes,
  embeddingAndOutput,
  expertSizes,
  layerPrefix,
} from "./common.js";

const gateOrUp = ["hidden", "expertFeedForward", "experts"];

/**
 * gpt-oss-20b, gpt-oss-120b: llama.cpp `src/models/openai-moe.cpp`. Rows of gate and up alternate. The experts are
 * MXFP4 (`_blocks`, `_scales`), or BF16 with rows and columns exchanged.
 */
const common: Omit<ModelFamily, "tensors"> = {
  huggingFace: ["GptOssForCausalLM"],
  gguf: "gpt-oss",
  sizes: (config) => ({
    ...commonSizes(config),
    ...expertSizes(config, { count: "num_local_experts", width: "intermediate_size" }),
  }),
  metadata: [
    ...textModelKeys(),
    uint32("attention.sliding_window", ({ config }) => config.requireCount("sliding_window")),
    uint32("expert_feed_forward_length", "intermediate_size"),
  ],
};

export const gptOss: ModelFamily = {
  ...common,
  tensors: [
    ...embeddingAndOutput,
    ...attention,
    ...attentionBiases,
    ...inLayers(layerPrefix, [
      rule("input_layernorm.weight", "attn_norm.weight", ["hidden"]),
      rule("post_attention_layernorm.weight", "post_attention_norm.weight", ["hidden"]),
      rule("self_attn.o_proj.bias", "attn_output.bias", ["hidden"]),
      rule("self_attn.sinks", "attn_sinks.weight", ["heads"]),
      rule("mlp.router.weight", "ffn_gate_inp.weight", ["hidden", "experts"]),
      rule("mlp.router.bias", "ffn_gate_inp.bias", ["experts"]),
      rule("mlp.experts.down_proj_bias", "ffn_down_exps.bias", ["hidden", "experts"]),
      split(
        "mlp.experts.gate_up_proj_bias",
        ["twiceExpertFeedForward", "experts"],
        [
          { name: "ffn_gate_exps.bias", shape: ["expertFeedForward", "experts"], via: everySecondValue(0) },
          { name: "ffn_up_exps.bias", shape: ["expertFeedForward", "experts"], via: everySecondValue(1) },
        ],
      ),
      // MXFP4
      rule("mlp.experts.down_proj", "ffn_down_exps.weight", ["expertFeedForward", "hidden", "experts"], {
        layers: "mxfp4",
      }),
      split(
        "mlp.experts.gate_up_proj",
        ["hidden", "twiceExpertFeedForward", "experts"],
        [
          { name: "ffn_gate_exps.weight", shape: gateOrUp, via: everySecondRow(0) },
          { name: "ffn_up_exps.weight", shape: gateOrUp, via: everySecondRow(1) },
        ],
        { layers: "mxfp4" },
      ),
      // Without packing
      rule("mlp.experts.down_proj", "ffn_down_exps.weight", ["expertFeedForward", "hidden", "experts"], {
        layers: "plain",
        stored: ["hidden", "expertFeedForward", "experts"],
        via: transpose,
      }),
      split(
        "mlp.experts.gate_up_proj",
        ["twiceExpertFeedForward", "hidden", "experts"],
        [
          { name: "ffn_gate_exps.weight", shape: gateOrUp, via: chain(transpose, everySecondRow(0)) },
          { name: "ffn_up_exps.weight", shape: gateOrUp, via: chain(transpose, everySecondRow(1)) },
        ],
        { layers: "plain" },
      ),
    ]),
  ],
  layerKinds: (config) => [
    config.object("quantization_config")?.string("quant_method") === "mxfp4" ? "mxfp4" : "plain",
  ],
};
