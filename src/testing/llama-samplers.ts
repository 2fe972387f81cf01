/** llama.cpp's own samplers, as the oracle of ours. */
import { findLibraryFile } from "../engine/library.js";
import { koffi, libraryFolder } from "./ggml.js";

const llama = koffi.load(findLibraryFile(libraryFolder, "llama"));
const constructors = {
  top_k: llama.func("uintptr_t llama_sampler_init_top_k(int32_t k)"),
  top_p: llama.func("uintptr_t llama_sampler_init_top_p(float p, size_t min_keep)"),
  min_p: llama.func("uintptr_t llama_sampler_init_min_p(float p, size_t min_keep)"),
};
const apply = llama.func("void llama_sampler_apply(uintptr_t sampler, uintptr_t tokens)");
const free = llama.func("void llama_sampler_free(uintptr_t sampler)");

/** Name and parameter of a sampler. */
export type NativeSampler = readonly [keyof typeof constructors, number];

/** `llama_token_data`: int32 token, float logit, float probability. */
const TOKEN_BYTES = 12;
/** `llama_token_data_array`: pointer to the tokens, their number, the chosen one, whether they are sorted. */
const ARRAY_BYTES = 32;

/** The tokens that a chain of samplers leaves. */
export function applySamplers(logits: Float32Array, samplers: readonly NativeSampler[]): number[] {
  const data = koffi.alloc("uint8_t", TOKEN_BYTES * logits.length);
  const array = koffi.alloc("uint8_t", ARRAY_BYTES);
  const tokens = new DataView(koffi.view(data, TOKEN_BYTES * logits.length));
  for (const [token, logit] of logits.entries()) {
    tokens.setInt32(TOKEN_BYTES * token, token, true);
    tokens.setFloat32(TOKEN_BYTES * token + 4, logit, true);
  }
  const header = new DataView(koffi.view(array, ARRAY_BYTES));
  header.setBigUint64(0, BigInt(data), true);
  header.setBigUint64(8, BigInt(logits.length), true);
  header.setBigInt64(16, -1n, true);
  header.setUint8(24, 0);
  for (const [name, parameter] of samplers) {
    const sampler = name === "top_k" ? constructors.top_k(parameter) : constructors[name](parameter, 0);
    apply(sampler, array);
    free(sampler);
  }
  // Samplers may put the tokens elsewhere, but keep them in the array's own memory once they are freed.
  const left = new DataView(
    koffi.view(header.getBigUint64(0, true), TOKEN_BYTES * Number(header.getBigUint64(8, true))),
  );
  const result = Array.from({ length: left.byteLength / TOKEN_BYTES }, (_, index) =>
    left.getInt32(TOKEN_BYTES * index, true),
  );
  koffi.free(data);
  koffi.free(array);
  return result;
}
