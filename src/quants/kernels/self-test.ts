/**
 * The known-answer test of the kernels, run once at start: each kernel gets the same made-up rows everywhere, and
 * a hash of what it gives is compared with the hash on record. It finds compilers that translate a kernel wrongly
 * (V8 has done so), not mistakes in the kernels themselves; those are for the test suite to find.
 */
import type { Effort } from "../effort.js";
import { rowBytes, type TypeName } from "../types.js";
import { Kernels } from "./kernels.js";
import { knownAnswers } from "./known-answers.js";

const columns = 512;

/** Names of the kernels whose answer is not the one on record. */
export function selfTest(module: WebAssembly.Module): string[] {
  return Object.entries(answers(module))
    .filter(([name, answer]) => answer !== knownAnswers[name])
    .map(([name]) => name);
}

/** The answer of every kernel. */
export function answers(module: WebAssembly.Module): Record<string, string> {
  const kernels = new Kernels({ module, faulty: [] });
  return Object.fromEntries(kernels.names().map((name) => [name, answer(kernels, name)]));
}

function answer(kernels: Kernels, name: string): string {
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
    return hash(new Uint32Array(sums.slice().buffer));
  }

  const type = name.slice(name.indexOf("_") + 1).toUpperCase() as TypeName;
  const bytes = new Uint8Array(memory, base + 12 * columns, rowBytes(type, columns));
  if (name.startsWith("decode_")) {
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = 256 * random();
    }
    kernels.decoder(type)?.(bytes.byteOffset, decoded.byteOffset, columns);
    const bits = new Uint32Array(memory, decoded.byteOffset, columns);
    // The bits of a NaN are free.
    return hash(bits.map((word, i) => (Number.isNaN(decoded[i]) ? 0x7fc00000 : word)));
  }
  const encode = (importanceAddress: number, effort: Effort): string => {
    kernels.encoder(type)?.(weights.byteOffset, importanceAddress, bytes.byteOffset, 1, columns, effort);
    return hash(Uint32Array.from(bytes));
  };
  return encode(importance.byteOffset, "default") + encode(0, "fast");
}

/** Numbers in [0, 1) that look random and are the same everywhere (a linear congruential generator). */
function madeUpNumbers(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
}

/** FNV-1a over words, in hexadecimal. */
function hash(words: Uint32Array): string {
  let state = 0x811c9dc5;
  for (const word of words) {
    state = Math.imul(state ^ word, 0x01000193);
  }
  return (state >>> 0).toString(16).padStart(8, "0");
}
