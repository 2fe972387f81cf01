import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import type { LayerCount } from "../layer-count.js";
import { bool, float32, float32s, int32s, type MetadataContext, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule, type TensorRule } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import { besideEachOther } from "../transformations/named.js";
import { commonSizes, expertSizes, predictionKey, predictionLayers } from "./common.js";

/** DeepSeek-V4 names its layers without `model.`. */
const prefix = "layers.{layer}.";

/** The three matrices of experts: gate, down, up. */
function expertMatrices(from: string, suffix: string, width: string, last: readonly string[]): TensorRule[] {
  return inLayers(prefix, [
    rule(`${from}w1.weight`, `ffn_gate${suffix}.weight`, ["hidden", width, ...last]),
    rule(`${from}w2.weight`, `ffn_down${suffix}.weight`, [width, "hidden", ...last]),
    rule(`${from}w3.weight`, `ffn_up${suffix}.weight`, ["hidden", width, ...last]),
  ]);
}

/** Parts of a compressor of earlier tokens, for attention itself or for its indexer. */
function compressor(from: string, to: string, width: string, head: string): TensorRule[] {
  return inLayers(prefix, [
    rule(`${from}ape`, `${to}_ape.weight`, [width, "ratio"]),
    rule(`${from}norm.weight`, `${to}_norm.weight`, [head]),
    rule(`${from}wgate.weight`, `${to}_gate.weight`, ["hidden", width]),
    rule(`${from}wkv.weight`, `${to}_kv.weight`, ["hidden", width]),
  ]);
}

/** Several streams of the residual connection, and how they are mixed. */
function hyperConnection(name: string): TensorRule[] {
  return [
    rule(`hc_${name}_base`, `hc_${name}_base.weight`, ["mixes"]),
    rule(`hc_${name}_fn`, `hc_${name}_fn.weight`, ["streams", "mixes"]),
    rule(`hc_${name}_scale`, `hc_${name}_scale.weight`, ["three"]),
  ];
}

/**
 * DeepSeek-V4: llama.cpp `src/models/deepseek4.cpp`. The checkpoint decides the types: FP4 experts are MXFP4, FP8
 * becomes Q8_0, the rest stays. Prediction layers are a file of their own.
 */
export const deepseek4: ModelFamily = {
  huggingFace: ["DeepseekV4ForCausalLM"],
  gguf: "deepseek4",
  keepsSourceTypes: true,
  tensors: [
    rule("embed.weight", "token_embd.weight", ["hidden", "vocabulary"]),
    rule("norm.weight", "output_norm.weight", ["hidden"]),
    rule("head.weight", "output.weight", ["hidden", "vocabulary"]),
    rule("hc_head_base", "output_hc_base.weight", ["streamCount"]),
    rule("hc_head_fn", "output_hc_fn.weight", ["streams", "streamCount"]),
    rule("hc_head_scale", "output_hc_scale.weight", ["one"]),
    ...inLayers(prefix, [
      ...hyperConnection("attn"),
      ...hyperConnection("ffn"),
      rule("attn_norm.weight", "attn_norm.weight", ["hidden"]),
      rule("ffn_norm.weight", "ffn_norm.weight", ["hidden"]),
      rule("attn.attn_sink", "attn_sinks.weight", ["heads"]),
      rule("attn.wq_a.weight", "attn_q_a.weight", ["hidden", "queryRank"]),
      rule("attn.q_norm.weight", "attn_q_a_norm.weight", ["queryRank"]),
      rule("attn.wq_b.weight", "attn_q_b.weight", ["queryRank", "queries"]),
      rule("attn.wkv.weight", "attn_kv.weight", ["hidden", "head"]),
      rule("attn.kv_norm.weight", "attn_kv_a_norm.weight", ["head"]),
      rule("attn.wo_a.weight", "attn_output_a.weight", ["queriesPerGroup", "outputRanks"]),
      rule("attn.wo_b.weight", "attn_output_b.weight", ["outputRanks", "hidden"]),
      rule("ffn.gate.weight", "ffn_gate_inp.weight", ["hidden", "experts"]),
      ...onlyIn("hashed", [
        rule("ffn.gate.tid2eid", "ffn_gate_tid2eid.weight", ["usedExperts", "vocabulary"]),
      ]),
      ...onlyIn("routed", [rule("ffn.gate.bias", "exp_probs_b.bias", ["experts"])]),
      ...onlyIn("indexer", [
        rule("attn.indexer.wq_b.weight", "indexer.attn_q_b.weight", ["queryRank", "indexQueries"]),
        rule("attn.indexer.weights_proj.weight", "indexer.proj.weight", ["hidden", "indexHeads"]),
      ]),
      ...onlyIn("prediction", [
        rule("nextn.enorm.weight", "nextn.enorm.weight", ["hidden"]),
        rule("nextn.hnorm.weight", "nextn.hnorm.weight", ["hidden"]),
        rule("nextn.shared_head_norm.weight", "nextn.shared_head_norm.weight", ["hidden"]),
      ]),
    ]),
    {
      from: [`${prefix}nextn.e_proj.weight`, `${prefix}nextn.h_proj.weight`],
      shape: ["hidden", "hidden"],
      to: [
        { name: "blk.{layer}.nextn.eh_proj.weight", shape: ["twiceHidden", "hidden"], via: besideEachOther },
      ],
      layers: "prediction",
    },
    ...onlyIn("compressed", compressor("attn.compressor.", "attn_compressor", "compressed", "head")),
    ...onlyIn(
      "indexer",
      compressor("attn.indexer.compressor.", "indexer_compressor", "compressedIndex", "indexHead"),
    ),
    ...expertMatrices("ffn.experts.{expert}.", "_exps", "expertFeedForward", ["experts"]),
    ...expertMatrices("ffn.shared_experts.", "_shexp", "sharedFeedForward", []),
  ],
  sizes(config) {
    const common = commonSizes(config);
    const experts = expertSizes(config, { count: "n_routed_experts", width: "moe_intermediate_size" });
    const streams = config.requireSize("hc_mult");
    const groups = config.requireSize("o_groups");
    const indexHead = config.requireSize("index_head_dim");
    const indexHeads = config.requireSize("index_n_heads");
    return {
      ...common,
      ...experts,
      three: 3,
      usedExperts: config.requireSize("num_experts_per_tok"),
      sharedFeedForward: (experts.expertFeedForward ?? 0) * config.requireSize("n_shared_experts"),
      streamCount: streams,
      streams: streams * (common.hidden ?? 0),
      // Into a layer, out of it, and among each other.
      mixes: streams * (streams + 2),
      queryRank: config.requireSize("q_lora_rank"),
      queriesPerGroup: (common.queries ?? 0) / groups,
      outputRanks: groups * config.requireSize("o_lora_rank"),
      indexHead,
      indexHeads,
      indexQueries: indexHead * indexHeads,
    };
  },
  layerSizes(config, layer) {
    const ratio = ratioOf(config, layer);
    // Windows that overlap are compressed twice.
    const windows = ratio === overlappingRatio ? 2 : 1;
    return {
      ratio,
      compressed: windows * config.requireSize("head_dim"),
      compressedIndex: windows * config.requireSize("index_head_dim"),
    };
  },
  layerKinds(config, layer) {
    const ratio = ratioOf(config, layer);
    return [
      layer < (config.count("num_hash_layers") ?? 0) ? "hashed" : "routed",
      ...(ratio > 0 ? ["compressed"] : []),
      ...(ratio === overlappingRatio ? ["indexer"] : []),
    ];
  },
  prediction: predictionLayers("on their own"),
  leftOut: [
    {
      names: /^(vision|aligner)\.|^image_/,
      what: "the vision tower, which is a file of its own in GGUF (mmproj)",
    },
  ],
  rename: renamed,
  metadata: [
    ...textModelKeys(),
    uint32("rope.dimension_count", "qk_rope_head_dim"),
    uint32("attention.q_lora_rank", "q_lora_rank"),
    uint32("attention.sliding_window", "sliding_window"),
    uint32("expert_feed_forward_length", "moe_intermediate_size"),
    uint32("expert_shared_count", "n_shared_experts"),
    float32("expert_weights_scale", "routed_scaling_factor"),
    bool("expert_weights_norm", "norm_topk_prob"),
    float32s("swiglu_clamp_exp", swigluLimits),
    float32s("swiglu_clamp_shexp", swigluLimits),
    uint32("attention.indexer.head_count", "index_n_heads"),
    uint32("attention.indexer.key_length", "index_head_dim"),
    uint32("attention.indexer.top_k", "index_topk"),
    uint32("attention.output_group_count", "o_groups"),
    uint32("attention.output_lora_rank", "o_lora_rank"),
    int32s("attention.compress_ratios", "compress_ratios"),
    float32("attention.compress_rope_freq_base", "compress_rope_theta"),
    uint32("hyper_connection.count", "hc_mult"),
    uint32("hyper_connection.sinkhorn_iterations", "hc_sinkhorn_iters"),
    float32("hyper_connection.epsilon", "hc_eps"),
    uint32("hash_layer_count", "num_hash_layers"),
    uint32("embedding_length_out", ({ sizes }) => sizes.streams),
    predictionKey,
  ],
};

/** At this ratio windows overlap, and an indexer chooses among them. */
const overlappingRatio = 4;

/** How many tokens a layer's attention compresses into one; 0 for none. */
function ratioOf(config: Fields, layer: number): number {
  const ratio = config.items("compress_ratios")[layer];
  return typeof ratio === "number" ? ratio : 0;
}

function swigluLimits({ config, layers }: MetadataContext): readonly number[] {
  return new Array(layers.hidden + layers.prediction).fill(config.requireNumber("swiglu_limit"));
}

/** `mtp.0.x` is the first layer after the hidden ones; it has an output of its own. */
function renamed(name: string, { hidden, onlyPrediction }: LayerCount): string | undefined {
  const [, index, part] = /^mtp\.(\d{1,4})\.(.*)$/.exec(name) ?? [];
  if (index === undefined || part === undefined) {
    return onlyPrediction && name.startsWith("hc_head_") ? undefined : name;
  }
  if (part.startsWith("hc_head_")) {
    return onlyPrediction ? part : `layers.${hidden + Number(index)}.${part}`;
  }
  const ownParts = /^(e_proj|h_proj|enorm|hnorm)\./;
  const known = ownParts.test(part) ? `nextn.${part}` : part.replace(/^norm\./, "nextn.shared_head_norm.");
  return `layers.${hidden + Number(index)}.${known}`;
}
