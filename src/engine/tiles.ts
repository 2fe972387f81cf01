/**
 * Models that llama.cpp v0.5.0 cannot run with weights rearranged for a processor's matrix tiles (AMX). Of attention with a
 * compressed context it puts the matrices that have a part for each head among them, and multiplies them with inputs
 * that are not contiguous, which the tiles do not take: it finds no other place for the product and aborts
 * ("GGML_ASSERT(*cur_backend_id != -1) failed"). Of models with a recurrent state what it computes for a batch of several
 * sequences is not a number now and then (seen at qwen35moe in Q4_K_M), or it aborts (lfm2moe, jamba); with weights as they are stored it does neither.
 */
import { readMetadata } from "./facts.js";
import type { NativeLibrary } from "./library.js";
import { C } from "./native.js";

/** What the metadata of compressed attention have: `attn_k_b` and `attn_v_b` come with the first, `attn_output_a` with the other. */
const compressed = /\.attention\.(kv|output)_lora_rank$/;

/** Whether this processor has tiles and the model is one of these; its weights are then to stay as they are stored. */
export function stopsOnTiles(library: NativeLibrary, path: string): boolean {
  const { native } = library;
  if (!native.llama_print_system_info().includes("AMX_INT8 = 1")) {
    return false;
  }
  const header = native.llama_model_load_from_file(path, {
    ...native.llama_model_default_params(),
    load_mode: C.loadMode.read,
    vocab_only: true,
  });
  if (header === 0) {
    return false;
  }
  try {
    return (
      native.llama_model_is_recurrent(header) ||
      native.llama_model_is_hybrid(header) ||
      [...readMetadata(library, header).keys()].some((key) => compressed.test(key))
    );
  } finally {
    native.llama_model_free(header);
  }
}
