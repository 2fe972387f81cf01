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
const tokenBytes = 12;
/** `llama_token_data_array`: pointer to the tokens, their number, the chosen one, whether they are sorted. */
const arrayBytes = 32;

/** The tokens that a chain of samplers leaves. */
export function applySamplers(logits: Float32Array, samplers: readonly NativeSampler[]): number[] {
  const data = koffi.alloc("uint8_t", tokenBytes * logits.length);
  const array = koffi.alloc("uint8_t", arrayBytes);
  const tokens = new DataView(koffi.view(data, tokenBytes * logits.length));
  for (const [token, logit] of logits.entries()) {
    tokens.setInt32(tokenBytes * token, token, true);
    tokens.setFloat32(tokenBytes * token + 4, logit, true);
  }
  const header = new DataView(koffi.view(array, arrayBytes));
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
    koffi.view(header.getBigUint64(0, true), tokenBytes * Number(header.getBigUint64(8, true))),
  );
  const result = Array.from({ length: left.byteLength / tokenBytes }, (_, index) =>
    left.getInt32(tokenBytes * index, true),
  );
  koffi.free(data);
  koffi.free(array);
  return result;
}
