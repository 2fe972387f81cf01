/**
 * Worker threads that add up second moments while the model computes. The observer copies vectors into buffers of
 * its own and goes on. Every matrix belongs to one thread, which gets its vectors in order and in the batches in
 * which they were observed: so the sums are the same, to the bit, for any number of threads.
 */
import { InternalError } from "../errors.js";
import { packedLength } from "../quants/output-aware/packed.js";
import { sharedFloats } from "../threads/shared.js";
import { WorkerTeam } from "../threads/worker-team.js";
import type { AccumulatedInput, Delivery, MomentsBatch } from "./accumulator-worker.js";
import type { MomentsEntry } from "./moments.js";
import type { PlannedInput } from "./plan.js";

/** Buffers of a thread: one being filled, the others waiting or in work. */
const buffersPerThread = 3;

interface Thread {
  readonly index: number;
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
  readonly #team: WorkerTeam<Delivery>;
  readonly #threads: readonly Thread[];
  readonly #inputs: ReadonlyMap<string, number>;
  readonly #owners = new Map<string, Thread>();
  #current: { readonly thread: Thread; readonly columns: number } | undefined;

  private constructor(
    planned: readonly PlannedInput[],
    inputs: readonly AccumulatedInput[],
    team: WorkerTeam<Delivery>,
  ) {
    this.#team = team;
    this.#inputs = new Map(planned.map(({ name }, index) => [name, index]));
    for (const [index, { name, columns, matrices }] of planned.entries()) {
      const sums = inputs[index]?.sums ?? [];
      this.entries.set(name, { columns, sums, counts: new Float64Array(matrices) });
    }
    this.#threads = Array.from({ length: team.size }, (_, index) => {
      const buffers = Array.from({ length: buffersPerThread }, () => new Float32Array());
      return { index, buffers, deliveries: 0, batches: [], filled: 0, load: 0 };
    });
  }

  /**
   * Starts `threads` threads with sums of zero, and resolves when they run. `isCancelled` is asked while the
   * observer waits for them.
   */
  static async start(
    planned: readonly PlannedInput[],
    threads: number,
    isCancelled: () => boolean,
  ): Promise<AccumulatorPool> {
    const inputs = planned.map(({ name, columns, matrices }) => {
      const sums = Array.from({ length: matrices }, () => sharedFloats(packedLength(columns)));
      return { name, columns, sums };
    });
    const team = await WorkerTeam.start<typeof inputs, Delivery>({
      module: new URL("./accumulator-worker.js", import.meta.url),
      data: inputs,
      threads,
      work: "adds up moments",
      isCancelled,
    });
    return new AccumulatorPool(planned, inputs, team);
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
      this.#team.wait(thread.index, buffersPerThread - 1);
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
      this.#team.post(thread.index, { batches: thread.batches, vectors: bufferOf(thread) });
      thread.deliveries++;
      thread.batches = [];
      thread.filled = 0;
    }
  }

  /** Waits until all is added up, and ends the threads. Throws the error of a thread that failed. */
  async finish(): Promise<void> {
    await this.#team.finish();
  }

  /** Ends the threads, whatever they are doing. */
  async close(): Promise<void> {
    await this.#team.close();
  }

  /** A matrix goes to the thread that has had the least to do when its first vectors come, and stays with it. */
  #ownerOf(matrix: string): Thread {
    const owner =
      this.#owners.get(matrix) ??
      this.#threads.reduce((least, next) => (next.load < least.load ? next : least));
    this.#owners.set(matrix, owner);
    return owner;
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
