/**
 * Models without weights, of many architectures and shapes, on which the choice of types is compared with
 * llama.cpp's. Layers are narrow: only names, row lengths and metadata matter.
 */
import { open } from "node:fs/promises";
import { planGguf } from "../gguf/layout.js";
import type { Metadata } from "../gguf/metadata.js";
import type { TypeName } from "../quants/types.js";
import { type PlainValue, plainMetadata } from "./gguf-file.js";

export interface GeometryTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: TypeName;
}

export interface ModelGeometry {
  readonly title: string;
  readonly metadata: Metadata;
  readonly tensors: readonly GeometryTensor[];
}

interface Shape {
  readonly title: string;
  readonly architecture: string;
  readonly layers: number;
  /** Row length of most matrices. */
  readonly width?: number;
  /** Row length of `ffn_down`. */
  readonly feedForward?: number;
  readonly heads?: number;
  readonly keyValueHeads?: number | readonly number[];
  readonly experts?: number;
  /** First layers without experts. */
  readonly denseLayers?: number;
  readonly shared?: boolean;
  readonly tied?: boolean;
  readonly attention?: readonly string[];
  /** Attention is in every n-th layer only. */
  readonly attentionEvery?: number;
  /** Names of the feed-forward tensors; by default those for the number of experts. */
  readonly feedForwardNames?: readonly string[];
  /** Further tensors: name and shape. */
  readonly more?: Readonly<Record<string, readonly number[]>>;
  /** Further metadata, under the architecture's name. */
  readonly keys?: Readonly<Record<string, PlainValue>>;
}

const separate = ["attn_q", "attn_k", "attn_v", "attn_output"];
const routed = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"];
const latentKeys = {
  "attention.kv_lora_rank": 256,
  "attention.q_lora_rank": 256,
  expert_feed_forward_length: 256,
  expert_shared_count: 1,
  expert_weights_scale: 1.5,
};

function geometry(shape: Shape): ModelGeometry {
  const { title, architecture, layers, width = 256, feedForward = 256, heads = 8, experts = 0 } = shape;
  const keyValueHeads = shape.keyValueHeads ?? heads;
  const tensors: GeometryTensor[] = [];
  const matrix = (name: string, ...sizes: number[]) => tensors.push({ name, shape: sizes, type: "F16" });
  const vector = (name: string) => tensors.push({ name, shape: [width], type: "F32" });
  vector("output_norm.weight");
  matrix("token_embd.weight", width, 64);
  if (!shape.tied) {
    matrix("output.weight", width, 64);
  }

  // Layers are written from the last to the first: llama.cpp's order of work is not the file's.
  for (let layer = layers - 1; layer >= 0; layer--) {
    const at = (name: string) => `blk.${layer}.${name}.weight`;
    if (layer % (shape.attentionEvery ?? 1) === 0) {
      for (const name of shape.attention ?? separate) {
        matrix(at(name), width, 32);
      }
    }
    vector(at("attn_norm"));
    const isDense = experts === 0 || layer < (shape.denseLayers ?? 0);
    const names = isDense ? ["ffn_gate", "ffn_up", "ffn_down"] : [...(shape.feedForwardNames ?? routed)];
    if (!isDense) {
      tensors.push({ name: at("ffn_gate_inp"), shape: [width, experts], type: "F32" });
    }
    if (!isDense && shape.shared) {
      names.push("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp");
    }
    for (const name of names) {
      const columns = name.startsWith("ffn_down") ? feedForward : width;
      matrix(at(name), columns, 32, ...(/_(ch)?exps$/.test(name) ? [experts] : []));
    }
  }
  for (const [name, sizes] of Object.entries(shape.more ?? {})) {
    matrix(name, ...sizes);
  }

  const keys: Record<string, PlainValue> = {
    block_count: layers,
    context_length: 512,
    embedding_length: width,
    feed_forward_length: feedForward,
    "attention.head_count": heads,
    "attention.head_count_kv": keyValueHeads,
    "attention.layer_norm_rms_epsilon": 1.5e-6,
    "attention.layer_norm_epsilon": 1.5e-6,
    ...(experts > 0 && { expert_count: experts, expert_used_count: 2 }),
    ...shape.keys,
  };
  const entries = Object.entries(keys).map(([key, value]) => [`${architecture}.${key}`, value] as const);
  return {
    title,
    metadata: plainMetadata({ "general.architecture": architecture, ...Object.fromEntries(entries) }),
    tensors,
  };
}

/** Matrices that llama.cpp does not quantize, one for each of its rules. */
const keptNames: readonly string[] = [
  "position_embd.weight",
  "token_types.weight",
  "per_layer_model_proj.weight",
  "altup_proj.weight",
  "blk.0.laurel_l.weight",
  "blk.0.ssm_conv1d.weight",
  "blk.0.shortconv.conv.weight",
  "blk.0.attn_q_norm.weight",
  "blk.0.ffn_gate_inp.weight",
  "blk.0.ffn_gate_tid2eid.weight",
  "blk.0.attn_rel_b.weight",
  "blk.0.indexer.k_proj.weight",
  "blk.0.indexer.q_proj.weight",
  "blk.0.time_mix_first.weight",
  "blk.0.time_mix_w0.weight",
  "blk.0.time_mix_w1.weight",
  "blk.0.time_mix_w2.weight",
  "blk.0.time_mix_v0.weight",
  "blk.0.time_mix_v1.weight",
  "blk.0.time_mix_v2.weight",
  "blk.0.time_mix_a0.weight",
  "blk.0.time_mix_a1.weight",
  "blk.0.time_mix_a2.weight",
  "blk.0.time_mix_g1.weight",
  "blk.0.time_mix_g2.weight",
  "blk.0.time_mix_decay_w1.weight",
  "blk.0.time_mix_decay_w2.weight",
  "blk.0.time_mix_lerp_fused.weight",
  "v.position_embd.weight",
  "v.sam.pos_embd.weight",
  "v.sam.neck.0.weight",
  "v.sam.net_2.weight",
  "v.blk.0.rel_pos_h.weight",
  "v.patch_embd.weight",
  "v.patch_merger.weight",
  "a.rvq.codebook.weight",
  "mm.a.code_embd.weight",
];

/** One geometry for each rule of the mixtures, and for each way a shape can fail to fit. */
export const modelGeometries: readonly ModelGeometry[] = [
  geometry({
    title: "qwen3moe, 128 experts, 48 layers",
    architecture: "qwen3moe",
    layers: 48,
    keyValueHeads: 1,
    experts: 128,
  }),
  geometry({
    title: "qwen3moe, 4 experts, tied",
    architecture: "qwen3moe",
    layers: 10,
    experts: 4,
    tied: true,
  }),
  geometry({
    title: "qwen3moe, 16 experts, experts 96 wide, 4 queries per head",
    architecture: "qwen3moe",
    layers: 17,
    feedForward: 96,
    keyValueHeads: 2,
    experts: 16,
  }),
  geometry({
    title: "llama, 8 experts (Mixtral)",
    architecture: "llama",
    layers: 32,
    keyValueHeads: 2,
    experts: 8,
  }),
  geometry({
    title: "llama, 8 experts, each in a tensor of its own",
    architecture: "llama",
    layers: 8,
    experts: 8,
    feedForwardNames: [0, 1, 7].flatMap((e) => [`ffn_gate.${e}`, `ffn_up.${e}`, `ffn_down.${e}`]),
  }),
  geometry({
    title: "llama, 2 experts and a shared one",
    architecture: "llama",
    layers: 16,
    keyValueHeads: 4,
    experts: 2,
    shared: true,
  }),
  geometry({ title: "llama, dense, tied", architecture: "llama", layers: 24, tied: true }),
  geometry({ title: "llama 70B", architecture: "llama", layers: 80, keyValueHeads: 1 }),
  geometry({ title: "llama 65B", architecture: "llama", layers: 80 }),
  geometry({ title: "qwen2 with 80 layers", architecture: "qwen2", layers: 80, keyValueHeads: 4 }),
  geometry({ title: "jais2 with 68 layers", architecture: "jais2", layers: 68 }),
  geometry({
    title: "qwen2, rows of 320 and 160",
    architecture: "qwen2",
    layers: 9,
    width: 320,
    feedForward: 160,
    keyValueHeads: 2,
  }),
  geometry({
    title: "qwen2, rows of 96 and 100, tied",
    architecture: "qwen2",
    layers: 8,
    width: 96,
    feedForward: 100,
    tied: true,
  }),
  geometry({ title: "falcon", architecture: "falcon", layers: 32, attention: ["attn_qkv", "attn_output"] }),
  geometry({
    title: "deepseek2 with latent attention, shared experts and a dense layer",
    architecture: "deepseek2",
    layers: 27,
    experts: 16,
    denseLayers: 1,
    shared: true,
    attention: ["attn_q", "attn_kv_a_mqa", "attn_kv_b", "attn_output"],
    keys: latentKeys,
  }),
  geometry({
    title: "deepseek2 with absorbed latent attention",
    architecture: "deepseek2",
    layers: 12,
    keyValueHeads: 1,
    experts: 64,
    denseLayers: 3,
    shared: true,
    attention: ["attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_k_b", "attn_v_b", "attn_output"],
    keys: latentKeys,
  }),
  geometry({
    title: "glm4moe with a layer for multi-token prediction",
    architecture: "glm4moe",
    layers: 9,
    keyValueHeads: 1,
    experts: 16,
    shared: true,
    more: { "blk.8.nextn.eh_proj.weight": [512, 32], "blk.8.nextn.shared_head_head.weight": [256, 64] },
    keys: { nextn_predict_layers: 1, expert_feed_forward_length: 256, expert_shared_count: 1 },
  }),
  geometry({
    title: "gpt-oss with fused experts and heads by layer",
    architecture: "gpt-oss",
    layers: 8,
    keyValueHeads: [2, 4, 8, 8, 1, 1, 2, 2],
    experts: 32,
    feedForwardNames: ["ffn_gate_up_exps", "ffn_down_exps"],
    keys: { expert_feed_forward_length: 256, "attention.sliding_window": 128 },
  }),
  geometry({
    title: "experts in every layer, attention in every third",
    architecture: "llama",
    layers: 24,
    experts: 16,
    attentionEvery: 3,
  }),
  geometry({ title: "nanbeige, whose layers run once", architecture: "nanbeige", layers: 8 }),
  geometry({
    title: "nanbeige, whose layers run three times",
    architecture: "nanbeige",
    layers: 8,
    keys: { num_loops: 3 },
  }),
  geometry({
    title: "graniteswitch, which counts one layer more",
    architecture: "graniteswitch",
    layers: 14,
    keys: {
      logit_scale: 1.5,
      "adapters.count": 1,
      "adapters.lora_rank": 8,
      "adapters.token_ids_activate": [1],
      "adapters.token_ids_substitute": [2],
    },
  }),
  geometry({
    title: "bailingmoe3, which has stacked matrices besides experts",
    architecture: "bailingmoe3",
    layers: 8,
    experts: 16,
    more: { "blk.0.attn_k_b.weight": [256, 32, 4] },
    keys: {
      ...latentKeys,
      leading_dense_block_count: 1,
      expert_gating_func: 2,
      "attention.key_length_mla": 64,
      "attention.value_length_mla": 64,
      "ssm.conv_kernel": 4,
      "kda.head_dim": 32,
      "kda.gate_lower_bound": -0.5,
    },
  }),
  geometry({
    title: "deci with 80 layers",
    architecture: "deci",
    layers: 80,
  }),
  geometry({ title: "olmo with 80 layers", architecture: "olmo", layers: 80 }),
  geometry({
    title: "names of every kind that are never quantized",
    architecture: "llama",
    layers: 2,
    tied: true,
    more: {
      ...Object.fromEntries(keptNames.map((name) => [name, [256, 64]])),
      "per_layer_token_embd.weight": [256, 64],
      "blk.0.ssm_in.weight": [256, 64],
      "blk.0.time_mix_key.weight": [256, 64],
      "blk.0.indexer.attn_k.weight": [256, 64],
      "blk.0.attn_q.bias": [256, 64],
      "blk.1.attn_sinks.weight": [256],
      "blk.1.attn_v_b.weight": [256, 1, 1],
      "blk.1.proj.weight": [256, 1, 4],
      "blk.1.inp_gate.weight": [256, 2],
      "v.blk.0.attn_v.weight": [256, 64],
    },
  }),
];

/** An encoder of images, which has few facts in its metadata: llama.cpp aborts for mixtures that need them. */
export const encoderGeometry: ModelGeometry = {
  title: "clip",
  metadata: plainMetadata({ "general.architecture": "clip", "clip.vision.block_count": 2 }),
  tensors: [0, 1].flatMap((layer) =>
    ["attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"].map((name) => ({
      name: `v.blk.${layer}.${name}.weight`,
      shape: [256, 32],
      type: "F16" as const,
    })),
  ),
};

/** Writes a geometry as a GGUF file without weights: the file is as long as it has to be, but sparse. */
export async function writeGeometry(path: string, { metadata, tensors }: ModelGeometry): Promise<string> {
  const layout = planGguf({ metadata, tensors });
  const file = await open(path, "w");
  try {
    await file.write(layout.header);
    await file.truncate(layout.byteLength);
  } finally {
    await file.close();
  }
  return path;
}
