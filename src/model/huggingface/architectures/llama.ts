/** What families that llama.cpp turns as its `llama` have in common: queries and keys with interleaved halves. */
import { inLayers, rule, type TensorRule } from "../tensor-rules.js";
import { interleaveHalves } from "../transformations/named.js";
import { layerPrefix } from "./common.js";

export const interleavedAttention: readonly TensorRule[] = inLayers(layerPrefix, [
  rule("self_attn.q_proj.weight", "attn_q.weight", ["hidden", "queries"], { via: interleaveHalves("heads") }),
  rule("self_attn.k_proj.weight", "attn_k.weight", ["hidden", "keys"], { via: interleaveHalves("keyHeads") }),
  rule("self_attn.v_proj.weight", "attn_v.weight", ["hidden", "keys"]),
  rule("self_attn.o_proj.weight", "attn_output.weight", ["queries", "hidden"]),
]);
