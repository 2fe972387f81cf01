/** The questions of the output-aware encoder's known-answer test (`wasm/load.ts`): a factor, and rows of each type. */
import { layOut } from "../../wasm/heap.js";
import { hashOf, madeUpNumbers } from "../../wasm/made-up.js";
import { decodeRows, encodeRows } from "../codec.js";
import { rowBytes, type TypeName } from "../types.js";
import { defaultOptions } from "./encode-row.js";
import { superblockWeights } from "./format.js";
import { formats } from "./formats.js";
import { RoundedProducts } from "./rounded-products.js";
import { RoundedSums } from "./rounded-sums.js";
import { OutputAwareKernels } from "./simd.js";

const columns = superblockWeights;
const rows = 4;
const types = Object.keys(formats) as TypeName[];

/** Name of the question that stands for sums and factors, which all types need. */
export const factorAnswer = "factor";

/** Name of a type's question. */
export function encoderAnswer(type: TypeName): string {
  return `encode_${type.toLowerCase()}`;
}

/** The factor's and every type's. */
export function questions(): string[] {
  return [factorAnswer, ...types.map(encoderAnswer)];
}

/** Makes a factor, and sums; encodes some rows with the factor, unless they are what is asked for. */
export function ask(module: WebAssembly.Module, question: string): string {
  const kernels = new OutputAwareKernels(module);
  const type = types.find((name) => encoderAnswer(name) === question);
  kernels.prepare(type ?? "IQ2_S", { moments: moments(), columns, ridge: 0.1 });
  if (type === undefined) {
    const { feedback, faint, correlations } = kernels.factor;
    return hashOf(feedback) + hashOf(faint) + hashOf(correlations) + hashOf(sums(module));
  }
  const random = madeUpNumbers();
  const weights = Float32Array.from({ length: rows * columns }, () => (random() - 0.5) * random());
  const encoded = new Uint8Array(rows * rowBytes(type, columns));
  const start = new Float32Array(weights.length);
  encodeRows(type, weights, columns, undefined, encoded, "fast");
  decodeRows(type, encoded, start);
  kernels.encodeRows(weights, start, encoded, defaultOptions);
  decodeRows(type, encoded, start);
  const { energy, error } = kernels.outputErrors(weights, start);
  return hashOf(encoded) + hashOf(Float64Array.of(energy, error));
}

/** Sums of outer products of some vectors. */
function sums(module: WebAssembly.Module): Float32Array {
  const [n, count] = [16, 33];
  const products = new RoundedProducts(module);
  const { places, bytes } = layOut(RoundedSums.sizes(n));
  products.reserve(bytes);
  const gram = new RoundedSums(products, n, places);
  const random = madeUpNumbers();
  for (let row = 0; row < count; row++) {
    const vector = gram.next();
    for (let i = 0; i < n; i++) {
      vector[i] = (random() - 0.5) * random();
    }
  }
  return gram.finish();
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
