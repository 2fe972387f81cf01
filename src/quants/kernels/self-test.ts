/** The questions of the kernels' known-answer test (`wasm/load.ts`): each kernel gets the same made-up rows everywhere. */
import { hashOf, madeUpNumbers } from "../../wasm/made-up.js";
import type { Effort } from "../effort.js";
import { rowBytes, type TypeName } from "../types.js";
import { Kernels } from "./kernels.js";

const columns = 512;

/** The kernels' names. */
export function questions(module: WebAssembly.Module): string[] {
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  return names.filter((name) => /^(decode|encode)_|^(is_finite|measure)$/.test(name)).sort();
}

/** What a kernel makes of the rows. */
export function ask(module: WebAssembly.Module, name: string): string {
  const kernels = new Kernels(module, () => true);
  const [memory, base] = kernels.room(16 * columns, columns);
  const weights = new Float32Array(memory, base, columns);
  const importance = new Float32Array(memory, base + 4 * columns, columns);
  const decoded = new Float32Array(memory, base + 8 * columns, columns);
  const random = madeUpNumbers();
  // Products of uniform numbers: many small weights and some large ones, with no function that machines round
  // differently.
  for (let i = 0; i < columns; i++) {
    weights[i] = (random() - 0.5) * random() * random();
    importance[i] = random() * random() + 0.01;
  }

  if (name === "is_finite") {
    return String(kernels.isFinite(weights));
  }
  if (name === "measure") {
    decoded.set(importance);
    const sums = new Float64Array(memory, base + 12 * columns, 3);
    kernels.measure(weights, decoded, importance, columns, sums);
    return hashOf(sums);
  }

  const type = name.slice(name.indexOf("_") + 1).toUpperCase() as TypeName;
  const bytes = new Uint8Array(memory, base + 12 * columns, rowBytes(type, columns));
  if (name.startsWith("decode_")) {
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = 256 * random();
    }
    kernels.decoder(type)?.(bytes.byteOffset, decoded.byteOffset, columns);
    return hashOf(decoded);
  }
  const encode = (importanceAddress: number, effort: Effort): string => {
    kernels.encoder(type)?.(weights.byteOffset, importanceAddress, bytes.byteOffset, 1, columns, effort);
    return hashOf(bytes);
  };
  return encode(importance.byteOffset, "default") + encode(0, "fast");
}
