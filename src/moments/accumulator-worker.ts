/** A thread of `accumulator-pool.ts`: adds what is delivered to the matrices that it owns. */
import { InternalError } from "../errors.js";
import { serveTeam } from "../threads/serve-team.js";
import { Gram } from "./gram.js";

/** Sums are in shared memory; no two threads write to the same. */
export interface AccumulatedInput {
  readonly name: string;
  readonly columns: number;
  /** Packed sums of each matrix. */
  readonly sums: readonly Float32Array[];
}

/** Vectors that are added to one matrix together. */
export interface MomentsBatch {
  /** Place among the inputs. */
  readonly input: number;
  readonly matrix: number;
  readonly vectors: number;
}

export interface Delivery {
  readonly batches: readonly MomentsBatch[];
  /** The batches' vectors one after the other, in shared memory. */
  readonly vectors: Float32Array;
}

serveTeam((inputs: readonly AccumulatedInput[]) => {
  const gram = new Gram();
  return ({ batches, vectors }: Delivery) => {
    let at = 0;
    for (const { input, matrix, vectors: count } of batches) {
      const { name, columns, sums } = inputs[input] ?? { name: `input ${input}`, columns: 0, sums: [] };
      const target = sums[matrix];
      if (target === undefined) {
        throw new InternalError(`${name} has no matrix ${matrix}.`);
      }
      gram.begin(columns, count);
      for (let i = 0; i < count; i++, at += columns) {
        gram.add(vectors, at, 1);
      }
      gram.addTo(target);
    }
  };
});
