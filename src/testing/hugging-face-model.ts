/** A tiny Qwen3-MoE in Hugging Face's format, for tests: two layers, three experts, random BF16 weights. */
import { uniform } from "./random.js";
import { safetensorsBytes, type TestSafetensor } from "./safetensors-file.js";

/** config.json of the tiny model. */
export const tinyConfig = {
  architectures: ["Qwen3MoeForCausalLM"],
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  intermediate_size: 48,
  moe_intermediate_size: 24,
  num_experts: 3,
  num_experts_per_tok: 2,
  decoder_sparse_step: 1,
  mlp_only_layers: [] as readonly number[],
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: false,
  vocab_size: 6,
};

const qwen2Expression =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** tokenizer.json of the tiny model: three tokens, one merge, one added token; ids 4 and 5 are free. */
export const tinyTokenizer = {
  normalizer: { type: "NFC" } as { type: string } | null,
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: qwen2Expression }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    ],
  } as object | null,
  post_processor: null as object | null,
  added_tokens: [{ id: 3, content: "<|end|>", special: true }] as readonly object[],
  model: {
    type: "BPE",
    byte_fallback: false,
    ignore_merges: false,
    vocab: { a: 0, b: 1, ab: 2 } as Readonly<Record<string, number>>,
    merges: [["a", "b"]] as readonly unknown[],
  },
};

/** The tiny model's tensors by Hugging Face name. */
export function tinyTensors(): Record<string, TestSafetensor> {
  const tensors: Record<string, TestSafetensor> = {};
  const add = (name: string, ...shape: readonly number[]) => {
    tensors[name] = randomTensor(shape, Object.keys(tensors).length);
  };
  add("lm_head.weight", 6, 32);
  add("model.embed_tokens.weight", 6, 32);
  add("model.norm.weight", 32);
  for (const layer of ["model.layers.0", "model.layers.1"]) {
    add(`${layer}.input_layernorm.weight`, 32);
    add(`${layer}.post_attention_layernorm.weight`, 32);
    add(`${layer}.self_attn.q_proj.weight`, 16, 32);
    add(`${layer}.self_attn.k_proj.weight`, 8, 32);
    add(`${layer}.self_attn.v_proj.weight`, 8, 32);
    add(`${layer}.self_attn.o_proj.weight`, 32, 16);
    add(`${layer}.self_attn.q_norm.weight`, 8);
    add(`${layer}.self_attn.k_norm.weight`, 8);
    add(`${layer}.mlp.gate.weight`, 3, 32);
    for (let expert = 0; expert < 3; expert++) {
      add(`${layer}.mlp.experts.${expert}.gate_proj.weight`, 24, 32);
      add(`${layer}.mlp.experts.${expert}.up_proj.weight`, 24, 32);
      add(`${layer}.mlp.experts.${expert}.down_proj.weight`, 32, 24);
    }
  }
  return tensors;
}

/** A BF16 tensor of small random weights. The same seed gives the same. */
export function randomTensor(shape: readonly number[], seed: number): TestSafetensor {
  const next = uniform(seed);
  const values = Uint16Array.from(
    { length: shape.reduce((product, size) => product * size, 1) },
    // Sign, an exponent around 2^-7, any fraction.
    () => (next() < 0.5 ? 0x8000 : 0) | 0x3c00 | Math.floor(next() * 128),
  );
  return { dtype: "BF16", shape, data: new Uint8Array(values.buffer) };
}

/** The tiny model's files. */
export function tinyFiles(tensors = tinyTensors()) {
  return {
    "config.json": tinyConfig as object,
    "tokenizer.json": tinyTokenizer as object,
    "model.safetensors": safetensorsBytes(tensors),
  };
}
