/** The questions of the reductions' known-answer test (`wasm/load.ts`). */
import { Heap } from "../wasm/heap.js";
import type { Answers } from "../wasm/load.js";
import { hashOf, madeUpNumbers } from "../wasm/made-up.js";
import { SimdReducer } from "./simd.js";

const length = 500;

type GramKernel = (x: number, tokens: number, panels: number, panel: number, out: number) => void;

/** The answer of every reduction. */
export function answers(module: WebAssembly.Module): Answers {
  const random = madeUpNumbers();
  const row = () => Float32Array.from({ length }, () => 20 * (random() - 0.5) * random());
  const [logits, reference] = [row(), row()];
  const reducer = new SimdReducer(module);
  const { top, logSumExp } = reducer.scoreRow(logits);
  const { divergence } = reducer.compareRows(reference, logits);
  const sums = row();
  reducer.addSquares(sums, logits, 100, Uint32Array.of(0, 100, 100, 0, 350, 50, 7, 399));
  return {
    score_row: hashOf(Float64Array.of(top, logSumExp)),
    compare_rows: hashOf(Float64Array.of(divergence)),
    add_squares: hashOf(sums),
    gram: gramAnswer(module, logits),
  };
}

/** Products of 15 vectors of 32 columns, for the second of four panels. */
function gramAnswer(module: WebAssembly.Module, values: Float32Array): string {
  const [tokens, panels, first] = [15, 4, 1];
  const heap = new Heap(module);
  const rows = 8 * 8 * (panels - first);
  const memory = new Float32Array(heap.reserve(4 * (8 * tokens * panels + rows)), heap.base);
  memory.set(values.subarray(0, 8 * tokens * panels));
  const out = memory.subarray(8 * tokens * panels, 8 * tokens * panels + rows);
  (heap.exports.gram as GramKernel)(memory.byteOffset, tokens, panels, first, out.byteOffset);
  return hashOf(out);
}
