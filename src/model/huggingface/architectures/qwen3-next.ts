import type { ModelFamily } from "../architecture.js";
import { inLayers, onlyIn, rule, split } from "../tensor-rules.js";
import { regroup } from "../transformations/named.js";
import { layerPrefix } from "./common.js";
import {
  decay,
  linearAttentionKeys,
  linearAttentionKinds,
  linearAttentionName,
  linearAttentionPrediction,
  linearAttentionRules,
  linearAttentionSizes,
} from "./linear-attention.js";

/** Rows of a key head in `in_proj_qkvz`: its query, its key, its value heads, and their gates. */
const grouped = ["keyHead", "keyHead", "valuesPerKeyHead", "valuesPerKeyHead"];

/** Qwen3-Next-80B-A3B: llama.cpp `src/models/qwen3next.cpp`. */
export const qwen3Next: ModelFamily = {
  huggingFace: ["Qwen3NextForCausalLM"],
  gguf: "qwen3next",
  tensors: [
    ...linearAttentionRules,
    ...onlyIn(
      "linear",
      inLayers(layerPrefix, [
        rule("linear_attn.A_log", "ssm_a", ["valueHeads"], { via: decay }),
        rule("linear_attn.dt_bias", "ssm_dt.bias", ["valueHeads"]),
        rule("linear_attn.conv1d.weight", "ssm_conv1d.weight", ["kernel", "linearMixed"]),
        rule("linear_attn.in_proj_ba.weight", "ssm_ba.weight", ["hidden", "twiceValueHeads"]),
        split(
          "linear_attn.in_proj_qkvz.weight",
          ["hidden", "linearMixedAndGates"],
          [
            { name: "attn_qkv.weight", shape: ["hidden", "linearMixed"], via: regroup(grouped, [0, 1, 2]) },
            { name: "attn_gate.weight", shape: ["hidden", "linearValues"], via: regroup(grouped, [3]) },
          ],
        ),
        rule("linear_attn.out_proj.weight", "ssm_out.weight", ["linearValues", "hidden"]),
      ]),
    ),
  ],
  sizes(config) {
    const sizes = linearAttentionSizes(config);
    const { linearValues = 0, linearKeyHeads = 1, linearMixed = 0, valueHeads = 0 } = sizes;
    return {
      ...sizes,
      valuesPerKeyHead: linearValues / linearKeyHeads,
      linearMixedAndGates: linearMixed + linearValues,
      twiceValueHeads: 2 * valueHeads,
    };
  },
  layerKinds: linearAttentionKinds,
  prediction: linearAttentionPrediction,
  rename: linearAttentionName,
  metadata: linearAttentionKeys,
};
