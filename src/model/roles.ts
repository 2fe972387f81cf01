/**
 * What a tensor is for, read from its GGUF name. Roles are hierarchical: `routed` stands for `routed.gate`,
 * `routed.up`, `routed.down` and `routed.gate_up`, and `embedding` for `embedding.table` too. Names: llama.cpp `src/llama-arch.cpp` (LLM_TENSOR_NAMES).
 */

/** Every role a tensor can have. */
export const roles = [
  // Experts that the router chooses among: most of a mixture-of-experts model's weights.
  "routed.gate",
  "routed.up",
  "routed.down",
  "routed.gate_up",
  // Experts that see every token, or that groups of routed experts share (GroveMoE's channel experts).
  "shared.gate",
  "shared.up",
  "shared.down",
  // Feed-forward layers without experts, and projections around the routed experts that see every token.
  "dense.gate",
  "dense.up",
  "dense.down",
  "dense.latent",
  "attention.q",
  "attention.k",
  "attention.v",
  "attention.qkv",
  "attention.kv",
  "attention.output",
  "attention.gate",
  // Multi-head latent attention.
  "attention.q_a",
  "attention.q_b",
  "attention.kv_a",
  "attention.kv_b",
  "attention.k_b",
  "attention.v_b",
  // Sparse attention: what chooses or compresses the cached positions.
  "attention.indexer",
  "attention.compressor",
  // State-space, linear-attention, recurrent and short-convolution layers.
  "ssm.in",
  "ssm.out",
  "ssm.other",
  // Hyper-connections and residual scores: what mixes the streams between layers.
  "hyper_connection",
  // Projections of what per-layer embeddings (Gemma 3n and 4, Qwen 4) and Engram add to a layer.
  "per_layer",
  "router",
  "norm",
  "embedding",
  // Tables beside it, of which a token takes some rows: per-layer embeddings (Gemma 3n and 4) and memories of token
  // sequences (Qwen 4, Engram). They can be most of a model, and are read from the disk row by row.
  "embedding.table",
  "output",
  // Multi-token prediction: projections and copies of embedding and head of the extra layers.
  "nextn",
  "bias",
  // Factors for another tensor's weights, a layer's output, or activations.
  "scale",
  // What depends on positions alone: rotary frequencies, absolute positions of compressed entries.
  "position",
  // Logits that take attention from all tokens.
  "sinks",
  "other",
] as const;

export type Role = (typeof roles)[number];

/** Words that stand for several roles: the part before the dot. */
export const roleGroups = ["routed", "shared", "dense", "attention", "ssm"] as const;

/** A word that selects tensors in a recipe: a role or a group of roles. */
export type RoleSelector = Role | (typeof roleGroups)[number];

/** All words that select tensors. */
export const roleSelectors: readonly RoleSelector[] = [...roleGroups, ...roles];

/** Whether a role is what a selector names: the role itself, or one of its group. */
export function roleMatches(selector: RoleSelector, role: Role): boolean {
  return role === selector || role.startsWith(`${selector}.`);
}

/** Roles of routed experts' gate and up where they are two tensors, and where they are one. */
const gateAndUp: readonly Role[] = ["routed.gate", "routed.up"];

/** Whether a selector names a role, or the tensor or tensors that stand in its place where gate and up are fused or not. */
export function roleMatchesFusedOrNot(selector: RoleSelector, role: Role): boolean {
  const others: readonly RoleSelector[] =
    role === "routed.gate_up" ? gateAndUp : gateAndUp.includes(role) ? ["routed.gate_up"] : [];
  return roleMatches(selector, role) || others.includes(selector);
}

/** Names of what stands in a tensor's place where gate and up of the routed experts are fused or not. */
export function namesFusedOrNot(name: string): string[] {
  if (name.includes("ffn_gate_up_exps")) {
    return ["gate", "up"].map((part) => name.replace("ffn_gate_up_exps", `ffn_${part}_exps`));
  }
  return /ffn_(gate|up)_exps/.test(name) ? [name.replace(/ffn_(gate|up)_exps/, "ffn_gate_up_exps")] : [];
}

/** Names outside the layers, without the `.weight` ending. */
const globalStems: ReadonlyMap<string, Role> = new Map<string, Role>([
  ["token_embd", "embedding"],
  ["per_layer_token_embd", "embedding.table"],
  ["output", "output"],
  ["cls.output", "output"],
  ["per_layer_model_proj", "per_layer"],
  ["altup_proj", "per_layer"],
  ["altup_unembd_proj", "per_layer"],
  ["output_hc_base", "hyper_connection"],
  ["output_hc_down", "hyper_connection"],
  ["output_hc_fn", "hyper_connection"],
  ["output_hc_scale", "hyper_connection"],
  ["output_hc_up", "hyper_connection"],
  ["output_res_score", "hyper_connection"],
  ["rope_freqs", "position"],
  ["rope_factors_long", "position"],
  ["rope_factors_short", "position"],
  ["position_embd", "position"],
  ["nextn.pre_projection", "nextn"],
  ["nextn.post_projection", "nextn"],
]);

/** Names inside a layer, without the `blk.N.` beginning and the `.weight` ending. */
const layerStems: ReadonlyMap<string, Role> = new Map<string, Role>([
  ["ffn_gate_exps", "routed.gate"],
  ["ffn_up_exps", "routed.up"],
  ["ffn_down_exps", "routed.down"],
  ["ffn_gate_up_exps", "routed.gate_up"],
  ["ffn_gate_shexp", "shared.gate"],
  ["ffn_up_shexp", "shared.up"],
  ["ffn_down_shexp", "shared.down"],
  ["ffn_gate_chexps", "shared.gate"],
  ["ffn_up_chexps", "shared.up"],
  ["ffn_down_chexps", "shared.down"],
  ["ffn_gate", "dense.gate"],
  ["ffn_up", "dense.up"],
  ["ffn_down", "dense.down"],
  ["vis_gate", "dense.gate"],
  ["vis_up", "dense.up"],
  ["vis_down", "dense.down"],
  ["channel_mix_receptance", "dense.gate"],
  ["channel_mix_key", "dense.up"],
  ["channel_mix_value", "dense.down"],
  ["ffn_latent_down", "dense.latent"],
  ["ffn_latent_up", "dense.latent"],
  ["ffn_routed_down", "dense.latent"],
  ["ffn_routed_up", "dense.latent"],
  ["attn_q", "attention.q"],
  ["attn_k", "attention.k"],
  ["attn_v", "attention.v"],
  ["attn_qkv", "attention.qkv"],
  ["attn_kv", "attention.kv"],
  ["attn_output", "attention.output"],
  ["attn_output_a", "attention.output"],
  ["attn_output_b", "attention.output"],
  ["attn_o", "attention.output"],
  ["attn_gate", "attention.gate"],
  ["attn_q_a", "attention.q_a"],
  ["attn_q_b", "attention.q_b"],
  ["attn_kv_a_mqa", "attention.kv_a"],
  ["attn_kv_b", "attention.kv_b"],
  ["attn_k_b", "attention.k_b"],
  ["attn_v_b", "attention.v_b"],
  ["cross_attn_q", "attention.q"],
  ["cross_attn_k", "attention.k"],
  ["cross_attn_v", "attention.v"],
  ["cross_attn_o", "attention.output"],
  ["vis_attn_qkv", "attention.qkv"],
  ["vis_attn_output", "attention.output"],
  ["indexer.proj", "attention.indexer"],
  ["indexer.attn_k", "attention.indexer"],
  ["indexer.attn_q_b", "attention.indexer"],
  ["indexer.q_proj", "attention.indexer"],
  ["indexer.k_proj", "attention.indexer"],
  ["indexer_compressor_kv", "attention.compressor"],
  ["indexer_compressor_gate", "attention.compressor"],
  ["attn_compressor_kv", "attention.compressor"],
  ["attn_compressor_gate", "attention.compressor"],
  ["ssm_in", "ssm.in"],
  ["ssm_out", "ssm.out"],
  ["shortconv.in_proj", "ssm.in"],
  ["shortconv.out_proj", "ssm.out"],
  ["time_mix_output", "ssm.out"],
  ["ffn_gate_inp", "router"],
  ["ffn_gate_inp_shexp", "router"],
  ["ffn_gate_tid2eid", "router"],
  ["exp_probs_b", "router"],
  ["exp_probs_b_vl", "router"],
  ["inp_gate", "per_layer"],
  ["proj", "per_layer"],
  ["attn_res_score", "hyper_connection"],
  ["ffn_res_score", "hyper_connection"],
  ["attn_compressor_ape", "position"],
  ["indexer_compressor_ape", "position"],
  ["rope_freqs", "position"],
  ["rope_factors_long", "position"],
  ["rope_factors_short", "position"],
  ["attn_sinks", "sinks"],
  ["layer_output_scale", "scale"],
  ["nextn.eh_proj", "nextn"],
  ["nextn.embed_tokens", "nextn"],
  ["nextn.shared_head_head", "nextn"],
]);

/** Families of names inside a layer, tried in order after the exact names. */
const layerFamilies: readonly (readonly [RegExp, Role])[] = [
  // Old Mixtral files keep each expert in a tensor of its own.
  [/^ffn_gate\.\d+$/, "routed.gate"],
  [/^ffn_up\.\d+$/, "routed.up"],
  [/^ffn_down\.\d+$/, "routed.down"],
  [/^(ssm_|shortconv\.|time_mix_|channel_mix_)/, "ssm.other"],
  [/^hc_/, "hyper_connection"],
  [/^engram_embd(_\d+)?$/, "embedding.table"],
  [/^(ple_|altup_|laurel_|engram_)/, "per_layer"],
];

/** `attn_norm`, `norm_k`, `k_norm`, `post_ffw_norm_1`, `nextn.enorm`, RWKV's `time_mix_ln`, ... */
const normStem = /(^|[._])(norm|enorm|hnorm|ln)([._\d]|$)/;

/** The role that a tensor's name tells. `output.weight` is "output"; for tied models see {@link rolesOf}. */
export function roleOf(name: string): Role {
  const [, layerPart, stem = "", ending] =
    /^(?:(?:enc\.|dec\.)?(blk\.\d+)\.)?(.*?)(?:\.(weight|bias|scale|input_scale))?$/.exec(name) ?? [];
  if (normStem.test(stem)) {
    return "norm";
  }
  const exact = (layerPart === undefined ? globalStems : layerStems).get(stem);
  if (ending === "scale" || ending === "input_scale") {
    return "scale";
  }
  if (ending === "bias" && exact !== "router") {
    return "bias";
  }
  if (exact !== undefined) {
    return exact;
  }
  if (layerPart === undefined) {
    return "other";
  }
  return layerFamilies.find(([pattern]) => pattern.test(stem))?.[1] ?? "other";
}

/** Layer number in a tensor's name, or undefined for tensors outside the layers. */
export function layerOf(name: string): number | undefined {
  const digits = /^blk\.(\d+)\./.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The largest sum of sizes of the tensors of a layer; 0 if no tensor belongs to one. */
export function largestLayer<Tensor extends { readonly name: string }>(
  tensors: readonly Tensor[],
  sizeOf: (tensor: Tensor) => number,
): number {
  const sums = new Map<number, number>();
  for (const tensor of tensors) {
    const layer = layerOf(tensor.name);
    if (layer !== undefined) {
      sums.set(layer, (sums.get(layer) ?? 0) + sizeOf(tensor));
    }
  }
  return Math.max(0, ...sums.values());
}

/** Layers of multi-token prediction: those whose projection joins an embedding and the trunk's last state. */
export function nextnLayersOf(names: Iterable<string>): ReadonlySet<number> {
  const layers = new Set<number>();
  for (const name of names) {
    const layer = /^blk\.(\d+)\.nextn\./.exec(name)?.[1];
    if (layer !== undefined) {
      layers.add(Number(layer));
    }
  }
  return layers;
}

/** Whether the token embedding also serves as the output projection: there is no `output.weight`. */
export function isTied(names: Iterable<string>): boolean {
  for (const name of names) {
    if (name === "output.weight") {
      return false;
    }
  }
  return true;
}

/** All roles of a tensor: in a tied model the token embedding is both "embedding" and "output". */
export function rolesOf(name: string, tied: boolean): readonly Role[] {
  return tied && name === "token_embd.weight" ? ["embedding", "output"] : [roleOf(name)];
}
