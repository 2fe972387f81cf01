import type { ModelFamily } from "../architecture.js";
import { int32s } from "../metadata-rules.js";
import { inLayers, onlyIn, rule } from "../tensor-rules.js";
import { chain, tileColumns, tileRows } from "../transformations/named.js";
import { layerPrefix, visionTower } from "./common.js";
import {
  decay,
  linearAttentionKeys,
  linearAttentionKinds,
  linearAttentionName,
  linearAttentionPrediction,
  linearAttentionRules,
  linearAttentionSizes,
} from "./linear-attention.js";

const heads = { groups: "linearKeyHeads", heads: "valueHeads" } as const;
const tileHeads = tileRows({ ...heads, width: "one" });
const tileValues = tileRows({ ...heads, width: "valueHead" });
const tileValuesAfterKeys = tileRows({ ...heads, width: "valueHead", after: "linearQueriesAndKeys" });
const tileValueColumns = tileColumns({ ...heads, width: "valueHead" });

/** Sections of multimodal positions where a checkpoint does not say them; llama.cpp needs the key. */
const usualSections = [11, 11, 10, 0];

/** Qwen3.5-35B-A3B, Qwen3.6-35B-A3B, Qwen3.5-397B-A17B: llama.cpp `src/models/qwen35moe.cpp`. */
export const qwen35Moe: ModelFamily = {
  huggingFace: ["Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeForCausalLM"],
  gguf: "qwen35moe",
  tensors: [
    ...linearAttentionRules,
    ...onlyIn(
      "linear",
      inLayers(layerPrefix, [
        rule("linear_attn.A_log", "ssm_a", ["valueHeads"], { via: chain(tileHeads, decay) }),
        rule("linear_attn.dt_bias", "ssm_dt.bias", ["valueHeads"], { via: tileHeads }),
        rule("linear_attn.conv1d.weight", "ssm_conv1d.weight", ["kernel", "linearMixed"], {
          via: tileValuesAfterKeys,
        }),
        rule("linear_attn.in_proj_a.weight", "ssm_alpha.weight", ["hidden", "valueHeads"], {
          via: tileHeads,
        }),
        rule("linear_attn.in_proj_b.weight", "ssm_beta.weight", ["hidden", "valueHeads"], { via: tileHeads }),
        rule("linear_attn.in_proj_qkv.weight", "attn_qkv.weight", ["hidden", "linearMixed"], {
          via: tileValuesAfterKeys,
        }),
        rule("linear_attn.in_proj_z.weight", "attn_gate.weight", ["hidden", "linearValues"], {
          via: tileValues,
        }),
        rule("linear_attn.out_proj.weight", "ssm_out.weight", ["linearValues", "hidden"], {
          via: tileValueColumns,
        }),
      ]),
    ),
  ],
  sizes: linearAttentionSizes,
  layerKinds: linearAttentionKinds,
  prediction: linearAttentionPrediction,
  leftOut: [visionTower],
  rename: linearAttentionName,
  metadata: [
    ...linearAttentionKeys,
    int32s("rope.dimension_sections", ({ rope }) => {
      const sections = rope.items("mrope_section").map(Number);
      return sections.length === 0 ? usualSections : [...sections, 0, 0, 0, 0].slice(0, 4);
    }),
  ],
};
