import assert from "node:assert/strict";
import { test } from "node:test";
import { randomTensor, tinyConfig, tinyFiles } from "../../../testing/hugging-face-model.js";
import { MemoryFolder } from "../../../testing/memory-folder.js";
import type { ModelSource } from "../../source.js";
import { openHuggingFaceModel } from "../open.js";

type Shapes = Readonly<Record<string, readonly number[]>>;

function open(shapes: Shapes, config: object): Promise<ModelSource> {
  const tensors = Object.entries(shapes).map(
    ([name, shape], seed) => [name, randomTensor(shape, seed)] as const,
  );
  const files = { ...tinyFiles(Object.fromEntries(tensors)), "config.json": config };
  return openHuggingFaceModel(new MemoryFolder("m", files));
}

function tensorLines({ tensors }: ModelSource): readonly string[] {
  return tensors.map(({ name, type, shape }) => `${name} ${type} ${shape.join("x")}`);
}

/** Keys of the architecture's own, without its name. */
function ownKeys({ metadata }: ModelSource): readonly string[] {
  const architecture = String(metadata.get("general.architecture")?.value);
  return [...metadata]
    .filter(([key]) => key.startsWith(`${architecture}.`))
    .map(([key, { value }]) => `${key.slice(architecture.length + 1)}=${value}`);
}

const layer = "model.layers.0";
const attention: Shapes = {
  "lm_head.weight": [6, 32],
  "model.embed_tokens.weight": [6, 32],
  "model.norm.weight": [32],
  [`${layer}.input_layernorm.weight`]: [32],
  [`${layer}.post_attention_layernorm.weight`]: [32],
  [`${layer}.self_attn.o_proj.weight`]: [32, 32],
  [`${layer}.self_attn.q_proj.weight`]: [32, 32],
  [`${layer}.self_attn.k_proj.weight`]: [16, 32],
  [`${layer}.self_attn.v_proj.weight`]: [16, 32],
};

/** Names, order and keys of both families below were compared with what llama.cpp v0.5.0's converter writes. */
test("a dense Qwen3 has one feed-forward network per layer and norms for query and key heads", async () => {
  const { moe_intermediate_size: _, num_experts: __, num_experts_per_tok: ___, ...dense } = tinyConfig;
  const config = { ...dense, architectures: ["Qwen3ForCausalLM"], num_hidden_layers: 1, head_dim: 16 };
  const model = await open(
    {
      ...attention,
      [`${layer}.self_attn.q_norm.weight`]: [16],
      [`${layer}.self_attn.k_norm.weight`]: [16],
      [`${layer}.mlp.gate_proj.weight`]: [48, 32],
      [`${layer}.mlp.up_proj.weight`]: [48, 32],
      [`${layer}.mlp.down_proj.weight`]: [32, 48],
    },
    config,
  );
  assert.deepEqual(tensorLines(model), [
    "output.weight BF16 32x6",
    "token_embd.weight BF16 32x6",
    "blk.0.attn_norm.weight F32 32",
    "blk.0.ffn_down.weight BF16 48x32",
    "blk.0.ffn_gate.weight BF16 32x48",
    "blk.0.ffn_up.weight BF16 32x48",
    "blk.0.ffn_norm.weight F32 32",
    "blk.0.attn_k_norm.weight F32 16",
    "blk.0.attn_k.weight BF16 32x16",
    "blk.0.attn_output.weight BF16 32x32",
    "blk.0.attn_q_norm.weight F32 16",
    "blk.0.attn_q.weight BF16 32x32",
    "blk.0.attn_v.weight BF16 32x16",
    "output_norm.weight F32 32",
  ]);
  assert.deepEqual(ownKeys(model), [
    "block_count=1",
    "context_length=512",
    "embedding_length=32",
    "feed_forward_length=48",
    "attention.head_count=2",
    "attention.head_count_kv=1",
    "rope.freq_base=10000",
    `attention.layer_norm_rms_epsilon=${Math.fround(1e-6)}`,
    "attention.key_length=16",
    "attention.value_length=16",
  ]);
});

test("a Qwen2-MoE has biases, a shared expert with its own gate, and no head norms", async () => {
  const { head_dim: _, ...rest } = tinyConfig;
  const config = {
    ...rest,
    architectures: ["Qwen2MoeForCausalLM"],
    num_hidden_layers: 1,
    num_experts: 2,
    shared_expert_intermediate_size: 40,
  };
  const shared = `${layer}.mlp.shared_expert`;
  const model = await open(
    {
      ...attention,
      [`${layer}.self_attn.q_proj.bias`]: [32],
      [`${layer}.self_attn.k_proj.bias`]: [16],
      [`${layer}.self_attn.v_proj.bias`]: [16],
      [`${layer}.mlp.gate.weight`]: [2, 32],
      [`${layer}.mlp.experts.0.gate_proj.weight`]: [24, 32],
      [`${layer}.mlp.experts.0.up_proj.weight`]: [24, 32],
      [`${layer}.mlp.experts.0.down_proj.weight`]: [32, 24],
      [`${layer}.mlp.experts.1.gate_proj.weight`]: [24, 32],
      [`${layer}.mlp.experts.1.up_proj.weight`]: [24, 32],
      [`${layer}.mlp.experts.1.down_proj.weight`]: [32, 24],
      [`${shared}_gate.weight`]: [1, 32],
      [`${shared}.gate_proj.weight`]: [40, 32],
      [`${shared}.up_proj.weight`]: [40, 32],
      [`${shared}.down_proj.weight`]: [32, 40],
    },
    config,
  );
  assert.deepEqual(tensorLines(model), [
    "output.weight BF16 32x6",
    "token_embd.weight BF16 32x6",
    "blk.0.attn_norm.weight F32 32",
    "blk.0.ffn_down_exps.weight BF16 24x32x2",
    "blk.0.ffn_gate_exps.weight BF16 32x24x2",
    "blk.0.ffn_up_exps.weight BF16 32x24x2",
    "blk.0.ffn_gate_inp.weight F32 32x2",
    "blk.0.ffn_down_shexp.weight BF16 40x32",
    "blk.0.ffn_gate_shexp.weight BF16 32x40",
    "blk.0.ffn_up_shexp.weight BF16 32x40",
    "blk.0.ffn_gate_inp_shexp.weight F32 32x1",
    "blk.0.ffn_norm.weight F32 32",
    "blk.0.attn_k.bias F32 16",
    "blk.0.attn_k.weight BF16 32x16",
    "blk.0.attn_output.weight BF16 32x32",
    "blk.0.attn_q.bias F32 32",
    "blk.0.attn_q.weight BF16 32x32",
    "blk.0.attn_v.bias F32 16",
    "blk.0.attn_v.weight BF16 32x16",
    "output_norm.weight F32 32",
  ]);
  assert.deepEqual(ownKeys(model).slice(-4), [
    "expert_count=2",
    "expert_used_count=2",
    "expert_feed_forward_length=24",
    "expert_shared_feed_forward_length=40",
  ]);
});
