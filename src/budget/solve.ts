/**
 * Solves a budget: allocates, writes down the recipe, and looks how large the file becomes. The header holds the
 * recipe itself, so that its size is known only then; if the file is too large, the tensors get that much less.
 */
import { UsageError } from "../errors.js";
import type { TypeName } from "../quants/types.js";
import { type Allocation, type AllocationOption, smallestAllocation } from "./allocation.js";
import type { Budget } from "./budget.js";
import { choicesOf, type Problem, typesOf } from "./problem.js";

/** What `quantize` makes of an allocation. */
export interface LaidOut {
  /** Size of the file. */
  readonly bytes: number;
  /** Bits per weight. */
  readonly bpw: number;
}

export type Solved<Output extends LaidOut> = Output & {
  readonly types: ReadonlyMap<string, TypeName>;
  readonly allocation: Allocation;
  /** Bytes that it had to fit in. */
  readonly budgetBytes: number;
};

export interface SolveOptions<Output extends LaidOut> {
  /** What becomes of the model with these types. */
  readonly layOut: (types: ReadonlyMap<string, TypeName>) => Output | Promise<Output>;
  /** The solver. */
  readonly allocate: (
    choices: readonly (readonly AllocationOption[])[],
    bytes: number,
  ) => Promise<Allocation | undefined>;
  /** Hears of each attempt. */
  readonly onAttempt?: (done: number, total: number) => void;
  /** What the user may do besides if even the smallest model is too large. */
  readonly remedies: readonly string[];
}

/** Header sizes differ by some bytes from recipe to recipe; so often the room for the header is corrected. */
const mostAttempts = 8;

/** Throws a UsageError if the budget is below the smallest possible model. */
export async function solve<Output extends LaidOut>(
  problem: Problem,
  { layOut, allocate, onAttempt, remedies }: SolveOptions<Output>,
): Promise<Solved<Output>> {
  const { items } = problem;
  const choices = choicesOf(problem);
  const { targetKld } = problem.budget;
  const least = targetKld === undefined ? {} : { bytes: await bytesWithin(targetKld, choices, allocate) };
  const budget = { ...problem.budget, ...least };
  const withTypes = async (allocation: Allocation): Promise<Solved<Output>> => {
    const types = typesOf(items, allocation.choice);
    return { ...(await layOut(types)), types, allocation, budgetBytes: budget.bytes };
  };
  const smallest = await withTypes(smallestAllocation(choices));
  const overhead = ({ bytes, allocation }: Solved<Output>) => (budget.isFile ? bytes - allocation.bytes : 0);
  let room = budget.bytes - overhead(smallest);
  if (room < smallest.allocation.bytes) {
    throw tooSmall(budget, { ...smallest, allocated: smallest.allocation.bytes }, remedies);
  }
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    onAttempt?.(attempt, mostAttempts);
    const allocation = await allocate(choices, room);
    if (allocation === undefined) {
      break;
    }
    const solved = await withTypes(allocation);
    const excess = allocation.bytes + overhead(solved) - budget.bytes;
    if (excess <= 0) {
      return solved;
    }
    room -= excess;
  }
  // Nothing but the smallest is left between a header that grows with the recipe and the budget.
  return smallest;
}

/** What divergences are counted in, so that the solver's sums are exact: parts of the target. */
const partsOfTarget = 2 ** 26;

/**
 * The fewest bytes at which the predicted divergence is at most `target`: the same problem with bytes and divergence
 * changed over. Divergences are rounded up, so that the sum keeps to the target. Throws a UsageError if even the
 * largest types cost more.
 */
async function bytesWithin(
  target: number,
  choices: readonly (readonly AllocationOption[])[],
  allocate: SolveOptions<LaidOut>["allocate"],
): Promise<number> {
  const least = choices.reduce((sum, options) => sum + Math.min(...options.map(({ cost }) => cost)), 0);
  const unit = target > 0 ? target / partsOfTarget : 1;
  const tooMany = partsOfTarget + 1;
  const exchanged = choices.map((options) =>
    options.map(({ bytes, cost }) => ({
      bytes: cost > target ? tooMany : Math.ceil(cost / unit),
      cost: bytes,
    })),
  );
  const allocation = least > target ? undefined : await allocate(exchanged, partsOfTarget);
  if (allocation === undefined) {
    throw new UsageError(
      `\`targetKld\` ${target}: the largest types that these limits allow are predicted to cost ${least.toPrecision(3)} nats; raise the target or allow larger types.`,
      { target, least },
    );
  }
  return allocation.cost;
}

/** The error for a budget that is below the smallest model. */
export function tooSmall(
  { title, bytes, isFile, isMemory }: Budget,
  smallest: LaidOut & { readonly allocated: number },
  besides: readonly string[],
): UsageError {
  const { bpw } = smallest;
  const least = isFile ? smallest.bytes : smallest.allocated;
  const remedies = [
    "raise the budget",
    ...besides,
    "allow smaller types",
    ...(isMemory ? ["choose a shorter context or smaller cache types"] : []),
  ];
  return new UsageError(
    `${title}: leaves ${bytes} bytes for the model, but the smallest that these limits allow takes ${least} bytes (${bpw.toFixed(2)} bits per weight); ${new Intl.ListFormat("en", { type: "disjunction" }).format(remedies)}.`,
    { budget: bytes, smallest: least },
  );
}
