/** What to collect: the inputs of a model's weights, and in how many passes over the text. */

import { packedLength } from "../quants/output-aware/packed.js";
import { isQuantizable } from "../recipe/quantizable.js";
import { type InputKind, inputKinds, inputOf } from "./inputs.js";

export interface MomentsOptions {
  /** Inputs to collect; those of routed experts by default, or all but the output's of a model without. */
  readonly kinds?: readonly InputKind[] | undefined;
  /** One matrix per expert for routed gate and up too, which otherwise share one in each layer. */
  readonly perExpert?: boolean | undefined;
}

/** One input to be collected. */
export interface PlannedInput {
  /** Name in the file. */
  readonly name: string;
  /** Weight at whose product the input is watched. */
  readonly weight: string;
  readonly columns: number;
  /** Experts, or 1. */
  readonly matrices: number;
  /** Bytes of its sums. */
  readonly byteLength: number;
}

/** A weight of the model; shape as in GGUF, row length first. */
export interface WeightShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Rows must fill whole panels of the product (`gram.ts`); every superblock format needs more. */
const columnsMultiple = 8;

/** The inputs to collect, in the order of the weights. */
export function planInputs(weights: Iterable<WeightShape>, options: MomentsOptions): PlannedInput[] {
  const { perExpert = false } = options;
  const all = [...weights];
  const hasRouted = all.some(({ name }) => inputOf(name)?.kind === "routed");
  const { kinds = hasRouted ? ["routed"] : inputKinds.filter((kind) => kind !== "output") } = options;
  const planned = new Map<string, PlannedInput>();
  for (const { name: weight, shape } of all) {
    const input = inputOf(weight);
    const [columns = 1, , experts = 1] = shape;
    if (input === undefined || !kinds.includes(input.kind) || planned.has(input.name)) {
      continue;
    }
    if (!isQuantizable(weight, shape)) {
      continue;
    }
    if (columns % columnsMultiple !== 0) {
      continue;
    }
    const matrices = input.routedIn && !perExpert ? 1 : experts;
    const byteLength = 4 * matrices * packedLength(columns);
    planned.set(input.name, { name: input.name, weight, columns, matrices, byteLength });
  }
  return [...planned.values()];
}

/** Cuts the inputs into passes whose sums fit in `memory` bytes; one that alone exceeds it gets its own pass. */
export function cutIntoPasses(inputs: readonly PlannedInput[], memory: number): PlannedInput[][] {
  const passes: PlannedInput[][] = [];
  let room = 0;
  for (const input of inputs) {
    if (passes.length === 0 || input.byteLength > room) {
      passes.push([]);
      room = memory;
    }
    passes.at(-1)?.push(input);
    room -= input.byteLength;
  }
  return passes;
}
