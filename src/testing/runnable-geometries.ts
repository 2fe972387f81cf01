/**
 * Models without weights that llama.cpp can lay out in memory: every tensor that it asks for has its shape. One for
 * each kind of memory: plain, windows, latent attention, recurrent states beside attention.
 */
import type { Metadata } from "../gguf/metadata.js";
import { type PlainValue, plainMetadata } from "./gguf-file.js";
import type { GeometryTensor } from "./model-geometries.js";

export interface RunnableGeometry {
  readonly metadata: Metadata;
  readonly tensors: readonly GeometryTensor[];
}

const width = 256;
const vocabulary = 512;

type Shapes = Readonly<Record<string, readonly number[]>>;

function geometry(
  architecture: string,
  layers: readonly Shapes[],
  keys: Readonly<Record<string, PlainValue>>,
  more: Shapes = { output_norm: [width] },
): RunnableGeometry {
  const tensor = (name: string, shape: readonly number[]): GeometryTensor => ({
    name: /\.(bias|ssm_a|ssm_d)$/.test(name) ? name : `${name}.weight`,
    shape,
    type: shape.length > 1 && !/ssm_conv1d|shortconv\.conv|gate_inp/.test(name) ? "F16" : "F32",
  });
  const all = { block_count: layers.length, context_length: 65536, embedding_length: width, ...keys };
  const entries = Object.entries({ "attention.layer_norm_rms_epsilon": 1.5e-6, ...all });
  return {
    metadata: plainMetadata({
      "general.architecture": architecture,
      ...Object.fromEntries(entries.map(([key, value]) => [`${architecture}.${key}`, value])),
      [`${architecture}.vocab_size`]: vocabulary,
    }),
    tensors: [
      tensor("token_embd", [width, vocabulary]),
      ...Object.entries(more).map(([name, shape]) => tensor(name, shape)),
      ...layers.flatMap((shapes, layer) =>
        Object.entries(shapes).map(([name, shape]) => tensor(`blk.${layer}.${name}`, shape)),
      ),
    ],
  };
}

const repeat = (count: number, shapes: Shapes): Shapes[] => Array.from({ length: count }, () => shapes);

const feedForward: Shapes = {
  ffn_norm: [width],
  ffn_gate: [width, 512],
  ffn_up: [width, 512],
  ffn_down: [512, width],
};

/** Grouped heads, every layer sees the whole context. */
const qwen3: RunnableGeometry = geometry(
  "qwen3",
  repeat(3, {
    attn_norm: [width],
    attn_q: [width, 512],
    attn_k: [width, 128],
    attn_v: [width, 128],
    attn_q_norm: [64],
    attn_k_norm: [64],
    attn_output: [512, width],
    ...feedForward,
  }),
  {
    feed_forward_length: 512,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
  },
);

/** Every second layer has a window. */
const gemma2: RunnableGeometry = geometry(
  "gemma2",
  repeat(4, {
    attn_norm: [width],
    attn_q: [width, 256],
    attn_k: [width, 128],
    attn_v: [width, 128],
    attn_output: [256, width],
    post_attention_norm: [width],
    ...feedForward,
    post_ffw_norm: [width],
  }),
  {
    feed_forward_length: 512,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "attention.sliding_window": 1000,
  },
);

/** Multi-head latent attention: one compressed key per token, no values. */
const deepseek2: RunnableGeometry = geometry(
  "deepseek2",
  repeat(2, {
    attn_norm: [width],
    attn_q_a_norm: [64],
    attn_kv_a_norm: [64],
    attn_q_a: [width, 64],
    attn_q_b: [64, 4 * 64],
    attn_kv_a_mqa: [width, 64 + 32],
    attn_k_b: [32, 64, 4],
    attn_v_b: [64, 32, 4],
    attn_output: [4 * 32, width],
    ...feedForward,
  }),
  {
    feed_forward_length: 512,
    leading_dense_block_count: 2,
    expert_feed_forward_length: 64,
    expert_shared_count: 1,
    "attention.head_count": 4,
    "attention.head_count_kv": 1,
    "attention.q_lora_rank": 64,
    "attention.kv_lora_rank": 64,
    "attention.key_length": 96,
    "attention.value_length": 64,
    "attention.key_length_mla": 64,
    "attention.value_length_mla": 32,
    "rope.dimension_count": 32,
  },
);

const convolution: Shapes = {
  attn_norm: [width],
  "shortconv.conv": [3, width],
  "shortconv.in_proj": [width, 3 * width],
  "shortconv.out_proj": [width, width],
  ...feedForward,
};

/** Short convolutions, and attention in one layer. */
const lfm2: RunnableGeometry = geometry(
  "lfm2",
  [
    convolution,
    {
      attn_norm: [width],
      attn_q: [width, width],
      attn_k: [width, 128],
      attn_v: [width, 128],
      attn_q_norm: [64],
      attn_k_norm: [64],
      attn_output: [width, width],
      ...feedForward,
    },
    convolution,
  ],
  {
    feed_forward_length: 512,
    "shortconv.l_cache": 3,
    "attention.head_count": 4,
    "attention.head_count_kv": [0, 2, 0],
    "attention.key_length": 64,
    "attention.value_length": 64,
  },
  { token_embd_norm: [width] },
);

/** State-space layers only. */
const mamba2: RunnableGeometry = geometry(
  "mamba2",
  repeat(2, {
    attn_norm: [width],
    ssm_in: [width, 2 * 512 + 2 * 64 + 8],
    ssm_conv1d: [4, 512 + 2 * 64],
    "ssm_conv1d.bias": [512 + 2 * 64],
    "ssm_dt.bias": [8],
    ssm_a: [1, 8],
    ssm_d: [1, 8],
    ssm_norm: [512, 1],
    ssm_out: [512, width],
  }),
  {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 512,
    "ssm.state_size": 64,
    "ssm.time_step_rank": 8,
    "ssm.group_count": 1,
  },
);

export const runnableGeometries = { qwen3, gemma2, deepseek2, lfm2, mamba2 } as const;
