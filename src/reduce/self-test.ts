/** The questions of the reductions' known-answer test (`wasm/load.ts`). */
import { Heap } from "../wasm/heap.js";
import { hashOf, madeUpNumbers } from "../wasm/made-up.js";
import { SimdReducer } from "./simd.js";

const length = 500;

type GramKernel = (x: number, tokens: number, panels: number, panel: number, out: number) => void;

const answers: Readonly<Record<string, (module: WebAssembly.Module) => string>> = {
  score_row(module) {
    const { top, logSumExp } = new SimdReducer(module).scoreRow(rows().logits);
    return hashOf(Float64Array.of(top, logSumExp));
  },
  compare_rows(module) {
    const { logits, reference } = rows();
    return hashOf(Float64Array.of(new SimdReducer(module).compareRows(reference, logits).divergence));
  },
  add_squares(module) {
    const { logits, sums } = rows();
    const entries = Uint32Array.of(0, 100, 100, 0, 350, 50, 7, 399);
    new SimdReducer(module).addSquares(sums, logits, 100, entries);
    return hashOf(sums);
  },
  gram: (module) => gramAnswer(module, rows().logits),
};

/** The reductions' names. */
export function questions(): string[] {
  return Object.keys(answers);
}

/** What a reduction makes of the rows. */
export function ask(module: WebAssembly.Module, name: string): string {
  return answers[name]?.(module) ?? "";
}

function rows() {
  const random = madeUpNumbers();
  const row = () => Float32Array.from({ length }, () => 20 * (random() - 0.5) * random());
  return { logits: row(), reference: row(), sums: row() };
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
