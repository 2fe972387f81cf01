/**
 * Worker threads of a thread that does not return to its event loop while they work. What they still have to do is
 * counted in shared memory and their errors come through a port, so both can be seen while that thread waits.
 */
import { once } from "node:events";
import { type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { CancelledError, InternalError } from "../errors.js";
import { deserializeError, type SerializedError } from "../serialized-error.js";

/** How often a wait looks whether the run was cancelled, in milliseconds. */
const lookEvery = 100;

/** `workerData` of a thread. */
export interface TeamSetup<Data> {
  /** What the work is prepared with. */
  readonly data: Data;
  readonly index: number;
  /** Messages that are not done, for each thread. */
  readonly pending: Int32Array;
  /** Where an error goes. */
  readonly failures: MessagePort;
}

export interface TeamOptions<Data> {
  /** Of a module that calls `serveTeam`. */
  readonly module: URL;
  readonly data: Data;
  readonly threads: number;
  /** What a thread does, to follow "a thread that". */
  readonly work: string;
  /** Asked while the team is waited for. */
  readonly isCancelled: () => boolean;
}

/** Close it at the end. */
export class WorkerTeam<Message> {
  /** Number of threads. */
  readonly size: number;
  readonly #work: string;
  readonly #isCancelled: () => boolean;
  readonly #pending: Int32Array;
  readonly #workers: Worker[] = [];
  readonly #failures: MessagePort[] = [];
  #failure: Error | undefined;

  private constructor({ module, data, threads, work, isCancelled }: TeamOptions<unknown>) {
    this.size = threads;
    this.#work = work;
    this.#isCancelled = isCancelled;
    this.#pending = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * threads));
    for (let index = 0; index < threads; index++) {
      this.#start(module, data, index);
    }
  }

  /** Starts threads, and resolves when they run. */
  static async start<Data, Message>(options: TeamOptions<Data>): Promise<WorkerTeam<Message>> {
    const team = new WorkerTeam<Message>(options);
    try {
      await Promise.all(team.#workers.map((worker) => once(worker, "message")));
    } catch (error) {
      await team.close();
      throw error;
    }
    return team;
  }

  /** Gives a thread something to do after all that it was given before. */
  post(thread: number, message: Message): void {
    Atomics.add(this.#pending, thread, 1);
    this.#workers[thread]?.postMessage(message);
  }

  /**
   * Waits until a thread has at most so many messages to do. Throws the error of a thread that failed, or a
   * CancelledError.
   */
  wait(thread: number, atMost: number): void {
    for (;;) {
      // In this order: a thread tells its error before it counts the message as done.
      const waiting = Atomics.load(this.#pending, thread);
      this.#throwFailure();
      if (waiting <= atMost) {
        return;
      }
      if (this.#isCancelled()) {
        throw new CancelledError("the work was stopped.");
      }
      Atomics.wait(this.#pending, thread, waiting, lookEvery);
    }
  }

  /** Gives it to all threads. */
  postToAll(message: Message): void {
    for (let thread = 0; thread < this.size; thread++) {
      this.post(thread, message);
    }
  }

  /** Waits until no thread has anything to do. Errors: see `wait`. */
  waitForAll(): void {
    for (let thread = 0; thread < this.size; thread++) {
      this.wait(thread, 0);
    }
  }

  /** Waits until all is done, and ends the threads. Throws the error of a thread that failed. */
  async finish(): Promise<void> {
    const ends = this.#workers.map((worker) => once(worker, "exit"));
    for (const worker of this.#workers) {
      worker.postMessage("end");
    }
    await Promise.all(ends);
    this.#throwFailure();
    if (this.#pending.some((count) => count > 0)) {
      throw new InternalError(`a thread that ${this.#work} ended before its work was done.`);
    }
  }

  /** Ends the threads, whatever they are doing. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #start(module: URL, data: unknown, index: number): void {
    const { port1, port2 } = new MessageChannel();
    const setup: TeamSetup<unknown> = { data, index, pending: this.#pending, failures: port2 };
    const worker = new Worker(module, { workerData: setup, transferList: [port2], execArgv: [] });
    worker.on("error", (cause) => {
      this.#failure ??= new InternalError(`a thread that ${this.#work} broke down: ${cause}.`, {}, { cause });
    });
    this.#workers.push(worker);
    this.#failures.push(port1);
  }

  #throwFailure(): void {
    for (const failures of this.#failures) {
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
