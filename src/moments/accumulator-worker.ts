/** A thread of `accumulator-pool.ts`: adds what is delivered to the matrices that it owns. */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { InternalError } from "../errors.js";
import { serializeError } from "../serialized-error.js";
import { Gram } from "./gram.js";

/** What a thread begins with. Sums are in shared memory; no two threads write to the same. */
export interface AccumulatorSetup {
  readonly index: number;
  readonly inputs: readonly AccumulatedInput[];
  /** Deliveries that are not done, for each thread. */
  readonly pending: Int32Array;
  /** Where an error goes: the pool can read it without returning to its event loop. */
  readonly failures: MessagePort;
}

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

const { index, inputs, pending, failures } = workerData as AccumulatorSetup;
let failed = false;

/** Runs a part of the work; after the first error nothing more is done. */
function attempt<T>(work: () => T): T | undefined {
  if (failed) {
    return undefined;
  }
  try {
    return work();
  } catch (error) {
    failed = true;
    failures.postMessage(serializeError(error));
    return undefined;
  }
}

function addUp(gram: Gram, { batches, vectors }: Delivery): void {
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
}

const gram = attempt(() => new Gram());
parentPort?.on("message", (message: Delivery | "end") => {
  if (message === "end") {
    parentPort?.close();
    return;
  }
  attempt(() => gram && addUp(gram, message));
  Atomics.sub(pending, index, 1);
  Atomics.notify(pending, index);
});
parentPort?.postMessage("ready");
