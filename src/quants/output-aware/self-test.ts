/** The questions of the output-aware encoder's known-answer test (`wasm/load.ts`): a factor, and rows of each type. */
import type { Answers } from "../../wasm/load.js";
import { hashOf, madeUpNumbers } from "../../wasm/made-up.js";
import { decodeRows, encodeRows } from "../codec.js";
import { rowBytes, type TypeName } from "../types.js";
import { defaultOptions } from "./encode-row.js";
import { superblockWeights } from "./format.js";
import { formats } from "./formats.js";
import { OutputAwareKernels } from "./simd.js";

const columns = superblockWeights;
const rows = 4;

/** Name of the answer that stands for the factor's linear algebra, which all types need. */
export const factorAnswer = "factor";

/** Name of a type's answer. */
export function encoderAnswer(type: TypeName): string {
  return `encode_${type.toLowerCase()}`;
}

/** The answers of the factor and of every type's encoder. */
export function answers(module: WebAssembly.Module): Answers {
  const random = madeUpNumbers();
  const weights = Float32Array.from({ length: rows * columns }, () => (random() - 0.5) * random());
  const kernels = new OutputAwareKernels(module);
  const request = { moments: moments(), columns, ridge: 0.1 };
  kernels.prepare("IQ2_S", request);
  const { feedback, faint, correlations } = kernels.factor;
  const found: Record<string, string> = {
    [factorAnswer]: hashOf(feedback) + hashOf(faint) + hashOf(correlations),
  };
  for (const name of Object.keys(formats)) {
    const type = name as TypeName;
    const encoded = new Uint8Array(rows * rowBytes(type, columns));
    const start = new Float32Array(weights.length);
    encodeRows(type, weights, columns, undefined, encoded, "fast");
    decodeRows(type, encoded, start);
    kernels.prepare(type, request);
    kernels.encodeRows(weights, start, encoded, defaultOptions);
    decodeRows(type, encoded, start);
    const { energy, error } = kernels.outputErrors(weights, start);
    found[encoderAnswer(type)] = hashOf(encoded) + hashOf(Float64Array.of(energy, error));
  }
  return found;
}

/** Second moments of an input whose neighbouring columns go together. */
function moments(): Float32Array {
  const powers = [1];
  for (let i = 1; i < columns; i++) {
    powers.push((powers[i - 1] as number) * 0.9);
  }
  return Float32Array.from({ length: columns * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const scale = (1 + (row % 7)) * (1 + (column % 7));
    return scale * (powers[Math.abs(row - column)] as number);
  });
}
