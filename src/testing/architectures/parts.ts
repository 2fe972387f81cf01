/** What the tables of tiny architectures are made of: groups of keys that many of them share. */
import type { MetadataValue } from "../../gguf/metadata.js";
import type { TypeName } from "../../quants/types.js";
import type { PlainValue } from "../gguf-file.js";

/** A tiny model of an architecture: metadata alone, since llama.cpp says which tensors follow from it. */
export interface TinyArchitecture {
  /** As in `general.architecture`. */
  readonly architecture: string;
  readonly layers: number;
  /** Under the architecture's name, beside `commonKeys`; undefined leaves one of those out. */
  readonly keys: Readonly<Record<string, PlainValue | undefined>>;
  /**
   * Tensors that llama.cpp can do without and real files have: `name` for every layer, `name@1,2` for those layers,
   * `name@-` outside the layers, and `=256x4` after it where llama.cpp asks for a shape by aborting.
   */
  readonly optional: readonly string[];
  /** Whether the embedding matrix is the output matrix too. */
  readonly tied: boolean;
  /** Type of the routed experts; F16 by default. */
  readonly experts: TypeName | undefined;
}

export function model(
  architecture: string,
  layers: number,
  keys: TinyArchitecture["keys"],
  more: Partial<Pick<TinyArchitecture, "optional" | "tied" | "experts">> = {},
): TinyArchitecture {
  return { architecture, layers, keys, optional: [], tied: false, experts: undefined, ...more };
}

/** A float32, also where the number is whole. */
export const float = (value: number): MetadataValue => ({ type: "float32", value });

/** One for each layer. */
export const flags = (...value: boolean[]): MetadataValue => ({ type: "array", itemType: "bool", value });

export const uint64s = (...value: number[]): MetadataValue => ({
  type: "array",
  itemType: "uint64",
  value: value.map(BigInt),
});

type Keys = TinyArchitecture["keys"];

export const commonKeys: Keys = {
  context_length: 4096,
  embedding_length: 256,
  feed_forward_length: 512,
  "attention.head_count": 4,
  "attention.head_count_kv": 2,
  "attention.key_length": 64,
  "attention.value_length": 64,
  "attention.layer_norm_rms_epsilon": float(1e-6),
  "rope.freq_base": float(1e6),
};

export const moe: Keys = { expert_count: 8, expert_used_count: 2, expert_feed_forward_length: 256 };
export const shared: Keys = { expert_shared_count: 1, expert_shared_feed_forward_length: 256 };
export const denseFirst: Keys = { leading_dense_block_count: 1 };
export const sigmoid: Keys = {
  expert_gating_func: 2,
  expert_weights_norm: true,
  expert_weights_scale: float(1.5),
};

/** Multi-head latent attention. */
export const latent: Keys = {
  "attention.head_count_kv": 1,
  "attention.q_lora_rank": 256,
  "attention.kv_lora_rank": 256,
  "attention.key_length": 288,
  "attention.value_length": 256,
  "attention.key_length_mla": 96,
  "attention.value_length_mla": 64,
  "rope.dimension_count": 32,
};

/** Gated delta net in three of four layers. */
export const delta: Keys = {
  "ssm.conv_kernel": 4,
  "ssm.inner_size": 256,
  "ssm.state_size": 64,
  "ssm.time_step_rank": 4,
  "ssm.group_count": 2,
  full_attention_interval: 4,
  "rope.dimension_count": 16,
};

export const mamba2: Keys = {
  "ssm.conv_kernel": 4,
  "ssm.inner_size": 512,
  "ssm.state_size": 64,
  "ssm.time_step_rank": 8,
  "ssm.group_count": 1,
};

export const slidingWindow: Keys = { "attention.sliding_window": 64 };

export const indexer: Keys = {
  "attention.indexer.head_count": 4,
  "attention.indexer.key_length": 64,
  "attention.indexer.top_k": 32,
};

export const attentionBiases = ["attn_q.bias", "attn_k.bias", "attn_v.bias"];
