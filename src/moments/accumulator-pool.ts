/**
 * Worker threads that add up second moments while the model computes. The observer copies vectors into buffers of
 * its own and goes on. Every matrix belongs to one thread, which gets its vectors in order and in the batches in
 * which they were observed: so the sums are the same, to the bit, for any number of threads.
 */
import { once } from "node:events";
import { type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { CancelledError, InternalError } from "../errors.js";
import { packedLength } from "../quants/output-aware/packed.js";
import { deserializeError, type SerializedError } from "../serialized-error.js";
import type { AccumulatorSetup, Delivery, MomentsBatch } from "./accumulator-worker.js";
import type { MomentsEntry } from "./moments.js";
import type { PlannedInput } from "./plan.js";

/** Buffers of a thread: one being filled, the others waiting or in work. */
const buffersPerThread = 3;

/** How often a wait looks whether the run was cancelled, in milliseconds. */
const lookEvery = 100;

/** What a thread still has to do is `pending[index]`, a number of deliveries. */
interface Thread {
  readonly index: number;
  readonly worker: Worker;
  readonly failures: MessagePort;
  /** Used in turn; each grows to the largest delivery. */
  readonly buffers: Float32Array[];
  deliveries: number;
  batches: MomentsBatch[];
  /** Values in the buffer being filled. */
  filled: number;
  /** Products of all its batches so far. */
  load: number;
}

export class AccumulatorPool {
  /** Sums and counts by the input's name; the sums are whole once `finish` has returned. */
  readonly entries = new Map<string, MomentsEntry>();
  readonly #threads: Thread[];
  readonly #pending: Int32Array;
  readonly #inputs: ReadonlyMap<string, number>;
  readonly #owners = new Map<string, Thread>();
  #failure: Error | undefined;
  #current: { readonly thread: Thread; readonly columns: number } | undefined;

  readonly #isCancelled: () => boolean;

  private constructor(planned: readonly PlannedInput[], threadCount: number, isCancelled: () => boolean) {
    this.#isCancelled = isCancelled;
    this.#inputs = new Map(planned.map(({ name }, index) => [name, index]));
    const sums = planned.map(({ columns, matrices }) =>
      Array.from({ length: matrices }, () => sharedFloats(packedLength(columns))),
    );
    for (const [index, { name, columns, matrices }] of planned.entries()) {
      this.entries.set(name, { columns, sums: sums[index] ?? [], counts: new Float64Array(matrices) });
    }
    this.#pending = new Int32Array(new SharedArrayBuffer(4 * threadCount));
    const inputs = planned.map(({ name, columns }, index) => ({ name, columns, sums: sums[index] ?? [] }));
    this.#threads = Array.from({ length: threadCount }, (_, index) => this.#start(index, inputs));
  }

  /**
   * Starts `threads` threads with sums of zero, and resolves when they run. `isCancelled` is asked while the
   * observer waits for them.
   */
  static async start(
    inputs: readonly PlannedInput[],
    threads: number,
    isCancelled: () => boolean,
  ): Promise<AccumulatorPool> {
    const pool = new AccumulatorPool(inputs, threads, isCancelled);
    try {
      await Promise.all(pool.#threads.map(({ worker }) => once(worker, "message")));
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /**
   * Starts a batch of exactly `vectors` vectors for a matrix. Waits while its thread has no buffer free. Throws the
   * error of a thread that failed, or a CancelledError.
   */
  begin(name: string, matrix: number, vectors: number): void {
    const entry = this.entries.get(name);
    const input = this.#inputs.get(name);
    if (entry === undefined || input === undefined) {
      throw new InternalError(`no sums for ${name}.`);
    }
    const { columns, counts } = entry;
    const thread = this.#ownerOf(`${matrix} ${name}`);
    if (thread.batches.length === 0) {
      this.#waitForBuffer(thread);
    }
    reserve(thread, columns * vectors);
    thread.batches.push({ input, matrix, vectors });
    thread.load += columns * columns * vectors;
    counts[matrix] = (counts[matrix] ?? 0) + vectors;
    this.#current = { thread, columns };
  }

  /** Adds `factor` times the vector at `values[start]` to the batch. */
  add(values: Float32Array, start: number, factor: number): void {
    if (this.#current === undefined) {
      throw new InternalError("a vector came before its batch.");
    }
    const { thread, columns } = this.#current;
    const buffer = bufferOf(thread);
    const at = thread.filled;
    for (let i = 0; i < columns; i++) {
      buffer[at + i] = factor * (values[start + i] as number);
    }
    thread.filled += columns;
  }

  /** Hands the batches begun since the last call to their threads. */
  deliver(): void {
    this.#current = undefined;
    for (const thread of this.#threads) {
      if (thread.batches.length === 0) {
        continue;
      }
      Atomics.add(this.#pending, thread.index, 1);
      const delivery: Delivery = { batches: thread.batches, vectors: bufferOf(thread) };
      thread.worker.postMessage(delivery);
      thread.deliveries++;
      thread.batches = [];
      thread.filled = 0;
    }
  }

  /** Waits until all is added up, and ends the threads. Throws the error of a thread that failed. */
  async finish(): Promise<void> {
    const ends = this.#threads.map(({ worker }) => once(worker, "exit"));
    for (const { worker } of this.#threads) {
      worker.postMessage("end");
    }
    await Promise.all(ends);
    this.#throwFailure();
    if (this.#pending.some((count) => count > 0)) {
      throw new InternalError("a thread that adds up moments ended before its work was done.");
    }
  }

  /** Ends the threads, whatever they are doing. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #start(index: number, inputs: AccumulatorSetup["inputs"]): Thread {
    const { port1: failures, port2 } = new MessageChannel();
    const setup: AccumulatorSetup = { index, inputs, pending: this.#pending, failures: port2 };
    const worker = new Worker(new URL("./accumulator-worker.js", import.meta.url), {
      workerData: setup,
      transferList: [port2],
      execArgv: [],
    });
    worker.on("error", (cause) => {
      this.#failure ??= new InternalError(
        `a thread that adds up moments broke down: ${cause}.`,
        {},
        { cause },
      );
    });
    const buffers = Array.from({ length: buffersPerThread }, () => new Float32Array());
    return { index, worker, failures, buffers, deliveries: 0, batches: [], filled: 0, load: 0 };
  }

  /** A matrix goes to the thread that has had the least to do when its first vectors come, and stays with it. */
  #ownerOf(matrix: string): Thread {
    const owner =
      this.#owners.get(matrix) ??
      this.#threads.reduce((least, next) => (next.load < least.load ? next : least));
    this.#owners.set(matrix, owner);
    return owner;
  }

  #waitForBuffer({ index }: Thread): void {
    for (;;) {
      this.#throwFailure();
      const waiting = Atomics.load(this.#pending, index);
      if (waiting < buffersPerThread) {
        return;
      }
      if (this.#isCancelled()) {
        throw new CancelledError("the work was stopped.");
      }
      Atomics.wait(this.#pending, index, waiting, lookEvery);
    }
  }

  #throwFailure(): void {
    for (const { failures } of this.#threads) {
      const received = receiveMessageOnPort(failures);
      if (received) {
        this.#failure ??= deserializeError(received.message as SerializedError);
      }
    }
    if (this.#failure) {
      throw this.#failure;
    }
  }
}

function bufferOf({ buffers, deliveries }: Thread): Float32Array {
  return buffers[deliveries % buffersPerThread] ?? new Float32Array();
}

/** Makes room for more values in the buffer being filled. */
function reserve(thread: Thread, values: number): void {
  const { buffers, deliveries, filled } = thread;
  const old = bufferOf(thread);
  if (filled + values <= old.length) {
    return;
  }
  const larger = sharedFloats(filled + values);
  larger.set(old.subarray(0, filled));
  buffers[deliveries % buffersPerThread] = larger;
}

function sharedFloats(length: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(4 * length));
}
