/** The solver, in a worker: HiGHS takes a second and must not hold up the page. */
import { allocate, loadHighs } from "../../budget/allocate.js";
import type { Allocation, AllocationOption } from "../../budget/allocation.js";

/** What the page sends: first the module, then one problem after the other. */
export type SolverRequest =
  | { readonly wasm: ArrayBuffer }
  | { readonly id: number; readonly choices: AllocationOption[][]; readonly bytes: number };

export interface SolverReply {
  readonly id: number;
  readonly allocation: Allocation | undefined;
  readonly problem?: string;
}

/** Nobody sees a two-thousandth, and the answer comes in a second. */
const optimalGap = 5e-4;

let solver: ReturnType<typeof loadHighs>;

self.onmessage = async ({ data }: MessageEvent<SolverRequest>) => {
  if ("wasm" in data) {
    const module = URL.createObjectURL(new Blob([data.wasm], { type: "application/wasm" }));
    solver = loadHighs({ locateFile: () => module });
    return;
  }
  const { id, choices, bytes } = data;
  try {
    const allocation = await allocate(choices, bytes, { solver, optimalGap, seconds: 5 });
    self.postMessage({ id, allocation } satisfies SolverReply);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    self.postMessage({ id, allocation: undefined, problem } satisfies SolverReply);
  }
};
