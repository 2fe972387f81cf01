/**
 * Takes jobs from a queue, has them done, brings the results. Which machine does what, retries, and jobs of machines
 * that died are BullMQ's business.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CancelledError, EnvironmentError, LopsidedError, MalformedInputError } from "../errors.js";
import { serializeError } from "../serialized-error.js";
import { type Redis, UnrecoverableError, Worker } from "./clients.js";
import { type DataAccess, NotWanted } from "./data-access.js";
import { openJob, type QueueJob, runOf } from "./jobs.js";
import { isPresent } from "./presence.js";
import { disconnect } from "./redis.js";
import { writeSerializedError } from "./serialized-error.js";

export interface JobWorkerOptions {
  readonly redis: Redis;
  /** Name of the queue: see `queueName`. */
  readonly name: string;
  readonly token: string;
  /** Jobs in hand at once: some more than can be worked on, so that data is fetched meanwhile. */
  readonly concurrency: number;
  readonly access: DataAccess;
  /** Does a job. A MalformedInputError is the data's fault and reported as the result; others are tried elsewhere. */
  readonly perform: (job: QueueJob) => Promise<Uint8Array>;
  readonly onDone?: (job: QueueJob) => void;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/** A worker that shows no life for so long has lost its jobs; looked at so often. In milliseconds. */
const lockDuration = 6000;
const stalledInterval = 3000;

/** Machines may die often in a long run. */
const maxStalledCount = 1000;

/** Before a job is given back that cannot be done here, so that a broken machine does not take all of them. */
const giveBackMs = 2000;

export class JobWorker {
  readonly #options: JobWorkerOptions;
  readonly #worker: Worker;
  readonly #connection: Redis;
  #warned = "";

  constructor(options: JobWorkerOptions) {
    this.#options = options;
    // One of its own: BullMQ waits for jobs on a second connection, and closes what it made.
    this.#connection = options.redis.duplicate();
    this.#connection.on("error", () => {});
    this.#worker = new Worker(options.name, async ({ id, data }) => this.#process(id, data), {
      connection: this.#connection,
      concurrency: options.concurrency,
      lockDuration,
      stalledInterval,
      maxStalledCount,
      // Idle workers look for jobs of machines that died, too.
      drainDelay: 1,
    });
    // Redis' coming and going is told by its connection; a lost lock, by the result that is not wanted any more.
    this.#worker.on("error", () => {});
  }

  /** Waits for the jobs in hand and goes; with `now`, leaves them to others. */
  async close(now = false): Promise<void> {
    const isThere = this.#options.redis.status === "ready";
    const mostMs = isThere && !now ? 60_000 : 1000;
    await Promise.race([this.#worker.close(now || !isThere), sleep(mostMs, undefined, { ref: false })]);
    disconnect(this.#connection);
  }

  async #process(id: string | undefined, data: unknown): Promise<void> {
    const { access, perform, token, onDone } = this.#options;
    let job: QueueJob;
    try {
      job = openJob(token, id, data);
    } catch (error) {
      throw this.#refused(error);
    }
    try {
      await access.deliver(job, "done", await perform(job));
      onDone?.(job);
    } catch (error) {
      await this.#explain(job, error);
    }
  }

  /** Deals with a job that was not done. */
  async #explain(job: QueueJob, error: unknown): Promise<void> {
    const { access, redis } = this.#options;
    if (error instanceof NotWanted) {
      return;
    }
    if (error instanceof MalformedInputError) {
      await access.deliver(job, "error", writeSerializedError(serializeError(error)));
      return;
    }
    const { message } = error as Error;
    if (error instanceof CancelledError) {
      throw error; // this machine goes; others do it
    }
    if (
      error instanceof EnvironmentError &&
      redis.status === "ready" &&
      !(await isPresent(redis, runOf(job.id)))
    ) {
      throw new UnrecoverableError("its coordinator has gone.");
    }
    this.#warn(error instanceof LopsidedError ? message : `a job failed here: ${message}`);
    await sleep(giveBackMs);
    throw new Error(message);
  }

  #refused(error: unknown): Error {
    const { message } = error as Error;
    this.#warn(message);
    return new UnrecoverableError(message);
  }

  /** The same sentence is said once. */
  #warn(sentence: string): void {
    if (sentence !== this.#warned) {
      this.#warned = sentence;
      this.#options.onWarning?.(sentence);
    }
  }
}
