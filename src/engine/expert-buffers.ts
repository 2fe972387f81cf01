/** Weights of routed experts that stay in the machine's memory while all else is on graphics processors. */
import type { NativeLibrary } from "./library.js";
import type { NativeBlock } from "./memory.js";
import { bufferOverrideLayout } from "./native.js";

/** What of a tensor's name says that it has weights of routed experts; as in llama.cpp's `common/fit.cpp`. */
const expertWeights = "ffn_(up|down|gate_up|gate)_(ch|)exps";
const expertName = new RegExp(`\\.${expertWeights}\\.`);

export function hasExpertWeights(tensor: string): boolean {
  return expertName.test(tensor);
}

/** A pattern of llama.cpp's for the expert weights of the first layers. */
function expertPattern(layers: number): string {
  return `^blk\\.(${Array.from({ length: layers }, (_, layer) => layer).join("|")})\\.${expertWeights}`;
}

/** An override for `llama_model_params`: the expert weights of the first layers lie in the machine's memory. */
export function keepExpertsOnHost({ native, memory }: NativeLibrary, layers: number): NativeBlock {
  const { byteLength, ...offsets } = bufferOverrideLayout;
  const text = new TextEncoder().encode(expertPattern(layers));
  // The override, the end of the list, the text and its end.
  const block = memory.allocate(2 * byteLength + text.length + 1);
  const view = new DataView(block.buffer);
  view.setBigUint64(offsets.pattern, BigInt(block.address + 2 * byteLength), true);
  view.setBigUint64(offsets.bufferType, BigInt(native.ggml_backend_cpu_buffer_type()), true);
  new Uint8Array(block.buffer, 2 * byteLength).set(text);
  return block;
}
