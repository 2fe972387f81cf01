import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isTied,
  layerOf,
  nextnLayersOf,
  type Role,
  roleMatches,
  roleOf,
  roleSelectors,
  rolesOf,
} from "./roles.js";

/** Names as llama.cpp writes them for mixture-of-experts models, and what they are for. */
const examples: Readonly<Record<string, Role>> = {
  "token_embd.weight": "embedding",
  "per_layer_token_embd.weight": "embedding.table",
  "blk.2.engram_embd.weight": "embedding.table",
  "blk.2.engram_wkv.weight": "per_layer",
  "blk.2.engram_q_norm.weight": "norm",
  "output.weight": "output",
  "output_norm.weight": "norm",
  "blk.0.attn_norm.weight": "norm",
  "blk.0.attn_q_norm.weight": "norm",
  "blk.0.attn_kv_a_norm.weight": "norm",
  "blk.0.post_ffw_norm_1.weight": "norm",
  "blk.0.ssm_norm.weight": "norm",
  "blk.0.indexer.k_norm.bias": "norm",
  "blk.9.nextn.enorm.weight": "norm",
  "blk.9.nextn.shared_head_norm.weight": "norm",
  "blk.0.ffn_gate_exps.weight": "routed.gate",
  "blk.0.ffn_up_exps.weight": "routed.up",
  "blk.0.ffn_down_exps.weight": "routed.down",
  "blk.0.ffn_gate_up_exps.weight": "routed.gate_up",
  "blk.0.ffn_gate.7.weight": "routed.gate",
  "blk.0.ffn_up.12.weight": "routed.up",
  "blk.0.ffn_down.0.weight": "routed.down",
  "blk.0.ffn_gate_shexp.weight": "shared.gate",
  "blk.0.ffn_up_shexp.weight": "shared.up",
  "blk.0.ffn_down_shexp.weight": "shared.down",
  "blk.0.ffn_down_chexps.weight": "shared.down",
  "blk.0.ffn_gate.weight": "dense.gate",
  "blk.0.ffn_up.weight": "dense.up",
  "blk.0.ffn_down.weight": "dense.down",
  "blk.0.ffn_latent_up.weight": "dense.latent",
  "blk.0.attn_q.weight": "attention.q",
  "blk.0.attn_k.weight": "attention.k",
  "blk.0.attn_v.weight": "attention.v",
  "blk.0.attn_output.weight": "attention.output",
  "blk.0.attn_qkv.weight": "attention.qkv",
  "blk.0.attn_gate.weight": "attention.gate",
  "blk.0.attn_q_a.weight": "attention.q_a",
  "blk.0.attn_q_b.weight": "attention.q_b",
  "blk.0.attn_kv_a_mqa.weight": "attention.kv_a",
  "blk.0.attn_kv_b.weight": "attention.kv_b",
  "blk.0.attn_k_b.weight": "attention.k_b",
  "blk.0.attn_v_b.weight": "attention.v_b",
  "blk.0.indexer.attn_q_b.weight": "attention.indexer",
  "blk.0.attn_compressor_kv.weight": "attention.compressor",
  "dec.blk.3.cross_attn_v.weight": "attention.v",
  "blk.0.ssm_in.weight": "ssm.in",
  "blk.0.ssm_out.weight": "ssm.out",
  "blk.0.ssm_ba.weight": "ssm.other",
  "blk.0.ssm_a": "ssm.other",
  "blk.0.shortconv.in_proj.weight": "ssm.in",
  "blk.0.ffn_gate_inp.weight": "router",
  "blk.0.ffn_gate_inp_shexp.weight": "router",
  "blk.0.exp_probs_b.bias": "router",
  "blk.0.ffn_gate_tid2eid.weight": "router",
  "blk.9.nextn.eh_proj.weight": "nextn",
  "blk.9.nextn.shared_head_head.weight": "nextn",
  "blk.0.attn_q.bias": "bias",
  "blk.0.ffn_down_exps.bias": "bias",
  "output.bias": "bias",
  "blk.0.attn_sinks.weight": "sinks",
  "blk.0.attn_compressor_ape.weight": "position",
  "rope_freqs.weight": "position",
  "blk.0.hc_attn_fn.weight": "hyper_connection",
  "blk.0.hc_ffn_scale.weight": "hyper_connection",
  "output_hc_fn.weight": "hyper_connection",
  "blk.0.attn_res_score.weight": "hyper_connection",
  "blk.0.ple_key.weight": "per_layer",
  "blk.0.ple_norm_query.weight": "norm",
  "blk.0.inp_gate.weight": "per_layer",
  "per_layer_model_proj.weight": "per_layer",
  "per_layer_proj_norm.weight": "norm",
  "blk.0.ffn_gate_inp.scale": "scale",
  "blk.0.ffn_down_exps.scale": "scale",
  "blk.0.attn_q.input_scale": "scale",
  "blk.0.layer_output_scale.weight": "scale",
  "blk.0.ffn_routed_down.weight": "dense.latent",
  "v.blk.0.attn_q.weight": "other",
  "": "other",
};

test("each name that llama.cpp writes has its role", () => {
  for (const [name, role] of Object.entries(examples)) {
    assert.equal(roleOf(name), role, name);
  }
});

test("a group selects all its roles and no other", () => {
  const selected = Object.values(examples).filter((role) => roleMatches("routed", role));
  assert.deepEqual(new Set(selected), new Set(["routed.gate", "routed.up", "routed.down", "routed.gate_up"]));
  assert.ok(roleMatches("attention.k", "attention.k"));
  assert.ok(!roleMatches("attention.k", "attention.k_b"));
  assert.ok(!roleMatches("routed.gate", "routed.gate_up"));
  assert.ok(roleMatches("router", "router"));
  assert.ok(!roleMatches("routed", "router"));
});

test("no selector is listed twice", () => {
  assert.equal(new Set(roleSelectors).size, roleSelectors.length);
});

test("the layer is read from the name", () => {
  assert.equal(layerOf("blk.0.attn_q.weight"), 0);
  assert.equal(layerOf("blk.47.ffn_down_exps.weight"), 47);
  assert.equal(layerOf("output.weight"), undefined);
  assert.equal(layerOf("v.blk.3.attn_q.weight"), undefined);
});

test("layers of multi-token prediction are told by their own tensors", () => {
  const names = [
    "blk.2.attn_q.weight",
    "blk.3.nextn.eh_proj.weight",
    "blk.3.attn_q.weight",
    "nextn.pre_projection.weight",
  ];
  assert.deepEqual([...nextnLayersOf(names)], [3]);
});

test("without output.weight the token embedding is the output too", () => {
  assert.equal(isTied(["token_embd.weight", "output_norm.weight"]), true);
  assert.equal(isTied(["token_embd.weight", "output.weight"]), false);
  assert.deepEqual(rolesOf("token_embd.weight", true), ["embedding", "output"]);
  assert.deepEqual(rolesOf("token_embd.weight", false), ["embedding"]);
  assert.deepEqual(rolesOf("output_norm.weight", true), ["norm"]);
});
