/**
 * One run's side of a queue: puts jobs on it, serves their data, takes the results. What is done is known here, not
 * in Redis: a job that Redis lost is put there again, a result that comes twice is taken once.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { JobsOptions } from "bullmq";
import { CancelledError, EnvironmentError } from "../errors.js";
import { deserializeError } from "../serialized-error.js";
import { version } from "../version.js";
import { type SealedTask, taskDigest } from "./chunk-task.js";
import { Queue, QueueEvents, type Redis } from "./clients.js";
import { DataServer, type ResultDelivery } from "./data-server.js";
import { forgetQueue } from "./forget-queue.js";
import { type JobWork, type QueueJob, type SealedJob, sealJob } from "./jobs.js";
import type { ListenAddress } from "./listen-address.js";
import { QueueMetrics } from "./metrics.js";
import { Announcer, findPresent, type WorkerPresence } from "./presence.js";
import { connectRedis, disconnect, type QueueKind, queueName } from "./redis.js";
import { tokenName } from "./seal.js";
import { readSerializedError } from "./serialized-error.js";

/** How far the work is, for others to see. */
export interface Step {
  readonly step: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}

export interface CoordinatorOptions {
  /** Of Redis. */
  readonly queue: string;
  readonly token: string;
  readonly listen?: ListenAddress | undefined;
  readonly kind: QueueKind;
  /** What is done with chunks, for jobs that have some. */
  readonly task?: SealedTask | undefined;
  /** Files of the task's models by SHA-256, for machines that do not reach them. */
  readonly files?: ReadonlyMap<string, string> | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/** A job to be done elsewhere. */
export interface Order {
  readonly work: JobWork;
  /** Data that the job names, by SHA-256. */
  readonly data: ReadonlyMap<string, () => Promise<Uint8Array> | Uint8Array>;
  /** Most bytes that its result has. */
  readonly mostBytes: number;
  /** Weights in it. */
  readonly weights?: number;
  /** Throws if a result cannot be the job's. */
  readonly check?: (body: Uint8Array) => void;
}

interface Outstanding extends Order {
  readonly sealed: SealedJob;
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: Error) => void;
  /** When it was put on the queue last. */
  queuedAt: number;
  failures: number;
}

/** How a job is tried: workers that fail give it back, and it waits a moment longer each time. */
const jobOptions: JobsOptions = {
  attempts: 6,
  backoff: { type: "exponential", delay: 250 },
  removeOnComplete: true,
  removeOnFail: true,
};

/** Times that a job may fail in all its attempts before the run is given up. */
const mostFailures = 5;

/** A job that is outstanding for so long is put on the queue again; if it still is there, nothing happens. */
const repeatedQueueingMs = 30_000;

/** What is to be said to Redis at the end does not wait longer for one that has just gone, in milliseconds. */
const longestFarewellMs = 5000;

/** Longest error that a worker may report. */
const mostErrorBytes = 65_536;

/** How much a machine has done. */
interface Tally {
  jobs: number;
  weights: number;
}

export class Coordinator {
  readonly run = randomUUID();
  readonly metrics: QueueMetrics;
  readonly #options: CoordinatorOptions;
  readonly #redis: Redis;
  readonly #queue: Queue;
  readonly #events: QueueEvents;
  readonly #outstanding = new Map<string, Outstanding>();
  /** Data by SHA-256, with the number of jobs that name it. */
  readonly #data = new Map<string, { bytes: () => Promise<Uint8Array> | Uint8Array; users: number }>();
  readonly #tallies = new Map<string, Tally>();
  readonly #since = Date.now();
  #server: DataServer | undefined;
  #announcer: Announcer<"coordinator"> | undefined;
  #workers: readonly WorkerPresence[] = [];
  #nextId = 0;
  #step: Step = { step: "begin", done: 0, total: 0, unit: "jobs" };
  #firstResult: number | undefined;
  #ended: Error | undefined;
  /** Jobs that may still be on the queue, and are not waited for. */
  readonly #abandoned: string[] = [];

  private constructor(options: CoordinatorOptions, redis: Redis) {
    this.#options = options;
    this.#redis = redis;
    const { kind, token, task } = options;
    const name = queueName(kind, token, task && taskDigest(task));
    this.#queue = new Queue(name, { connection: redis });
    // One of its own: whoever listens to events blocks it.
    const eventsConnection = redis.duplicate();
    eventsConnection.on("error", () => {});
    this.#events = new QueueEvents(name, { connection: eventsConnection });
    // Redis' coming and going is told by its connection.
    this.#queue.on("error", () => {});
    this.#events.on("error", () => {});
    // What Redis lost is there again as soon as it is.
    redis.on("ready", () => this.#enqueueAll());
    this.#events.on("failed", ({ jobId, failedReason }) => this.#failed(jobId, failedReason));
    this.metrics = new QueueMetrics({
      waiting: () => this.#outstanding.size,
      workers: () => this.#workers.length,
      threads: () => this.threads,
    });
  }

  /** Connects to Redis and listens for workers. Throws an EnvironmentError if one of them is not possible. */
  static async open(options: CoordinatorOptions): Promise<Coordinator> {
    const redis = await connectRedis(options.queue, options);
    const coordinator = new Coordinator(options, redis);
    try {
      await coordinator.#begin();
      return coordinator;
    } catch (error) {
      await coordinator.close();
      throw error;
    }
  }

  /** The connection, for others that have to do with the same queue. */
  get redis(): Redis {
    return this.#redis;
  }

  /** Where workers find it. */
  get url(): string {
    return this.#server?.url ?? "";
  }

  /** Workers that could do its jobs. */
  get workers(): number {
    return this.#workers.length;
  }

  /** Threads of all workers that could do its jobs. */
  get threads(): number {
    return this.#workers.reduce((sum, { threads }) => sum + threads, 0);
  }

  /** Machines that have done something, and how fast since the first result. */
  rates(): readonly { readonly worker: string; readonly weightsPerSecond: number; readonly jobs: number }[] {
    const seconds = (performance.now() - (this.#firstResult ?? performance.now())) / 1000;
    return [...this.#tallies].map(([worker, { jobs, weights }]) => ({
      worker,
      jobs,
      weightsPerSecond: seconds > 0 ? weights / seconds : 0,
    }));
  }

  /** Tells how far the work is. */
  tell({ step, done, total, unit }: Step): void {
    this.#step = { step, done, total, unit };
  }

  /** Puts a job on the queue. Rejects with the error that its data cause, or when it fails wherever it is tried. */
  submit(order: Order): Promise<Uint8Array> {
    if (this.#ended) {
      return Promise.reject(this.#ended);
    }
    const id = `${this.run}.${this.#nextId++}`;
    const job: QueueJob = { id, coordinator: this.url, work: order.work };
    return new Promise((resolve, reject) => {
      for (const [hash, bytes] of order.data) {
        const known = this.#data.get(hash);
        this.#data.set(hash, { bytes: known?.bytes ?? bytes, users: (known?.users ?? 0) + 1 });
      }
      const sealed = sealJob(this.#options.token, job);
      this.#outstanding.set(id, { ...order, sealed, resolve, reject, queuedAt: 0, failures: 0 });
      this.#enqueue(id);
    });
  }

  /** Bytes of this SHA-256 that an outstanding job names. */
  async data(hash: string): Promise<Uint8Array | undefined> {
    return await this.#data.get(hash)?.bytes();
  }

  file(hash: string): string | undefined {
    return this.#options.files?.get(hash);
  }

  mostBytes(id: string): number | undefined {
    const mostBytes = this.#outstanding.get(id)?.mostBytes;
    return mostBytes && Math.max(mostBytes, mostErrorBytes);
  }

  /** Takes a result; one that nobody waits for any more is forgotten. Throws if it cannot be the job's. */
  deliver({ id, outcome, body, worker }: ResultDelivery): void {
    const waiting = this.#outstanding.get(id);
    if (waiting === undefined) {
      return;
    }
    if (outcome === "error") {
      const error = deserializeError(readSerializedError(body));
      this.#end(id);
      waiting.reject(error);
      return;
    }
    waiting.check?.(body);
    this.#end(id);
    this.#count(worker, waiting.weights ?? 0);
    waiting.resolve(body);
  }

  /** Waits for no result any more: jobs that are not done, and new ones, are rejected. */
  abort(): void {
    this.#ended ??= new CancelledError("the queue was closed before all jobs were done.");
    const ids = [...this.#outstanding.keys()];
    for (const { reject } of this.#outstanding.values()) {
      reject(this.#ended);
    }
    this.#outstanding.clear();
    this.#data.clear();
    this.#abandoned.push(...ids);
  }

  /** Takes all jobs back and goes. */
  async close(): Promise<void> {
    this.abort();
    await atMost(longestFarewellMs, this.#takeBack());
    await this.#server?.close();
    disconnect(this.#redis);
    await atMost(longestFarewellMs, Promise.allSettled([this.#events.close(), this.#queue.close()]));
  }

  async #takeBack(): Promise<void> {
    await this.#announcer?.close();
    if (this.#redis.status === "ready") {
      // Those that a worker has in its hands cannot be removed, and are not taken when they come.
      await Promise.allSettled(this.#abandoned.map((id) => this.#queue.remove(id)));
      if (this.#options.task) {
        // It is of this run alone.
        await forgetQueue(this.#redis, this.#queue.name);
      }
    }
  }

  async #begin(): Promise<void> {
    const { token, listen } = this.#options;
    const { localAddress = "127.0.0.1" } = this.#redis.stream as { localAddress?: string };
    const address = listen ?? { host: localAddress.replace(/^::ffff:/, ""), port: 0 };
    this.#server = await DataServer.open(address, token, this, this.metrics);
    this.#announcer = await Announcer.begin(
      this.#redis,
      "coordinator",
      () => this.#presence(),
      () => this.#lookAround(),
    );
  }

  #presence() {
    const { token, task } = this.#options;
    return {
      id: this.run,
      host: hostname(),
      pid: process.pid,
      version,
      token: tokenName(token),
      since: this.#since,
      url: this.url,
      ...this.#step,
      ...(task && { task }),
    };
  }

  async #lookAround(): Promise<void> {
    const { token, task } = this.#options;
    const digest = task && taskDigest(task);
    const all = await findPresent(this.#redis, "worker");
    this.#workers = all.filter(
      (worker) =>
        worker.version === version &&
        worker.token === tokenName(token) &&
        (digest === undefined || worker.tasks.includes(digest)),
    );
    const late = performance.now() - repeatedQueueingMs;
    for (const [id, { queuedAt }] of this.#outstanding) {
      if (queuedAt < late) {
        this.#enqueue(id);
      }
    }
  }

  #enqueueAll(): void {
    for (const id of this.#outstanding.keys()) {
      this.#enqueue(id);
    }
  }

  #enqueue(id: string): void {
    const waiting = this.#outstanding.get(id);
    if (waiting === undefined) {
      return;
    }
    if (waiting.queuedAt > 0) {
      this.metrics.repeats.inc();
    }
    waiting.queuedAt = performance.now();
    // Redis away is waited for; what else may be wrong shows when the job is put there again.
    this.#queue.add(waiting.work.kind, waiting.sealed, { ...jobOptions, jobId: id }).catch(() => {});
  }

  /** A job failed in all its attempts: on a broken machine, perhaps, so that it is tried again. */
  #failed(id: string, reason: string): void {
    const waiting = this.#outstanding.get(id);
    if (waiting === undefined) {
      return;
    }
    waiting.failures++;
    if (waiting.failures === 1) {
      this.#options.onWarning?.(`a job failed on the queue and is tried again: ${reason}`);
    }
    if (waiting.failures < mostFailures) {
      this.#enqueue(id);
      return;
    }
    this.#end(id);
    waiting.reject(
      new EnvironmentError(`a job of the queue failed wherever it was tried: ${reason}`, { queue: this.url }),
    );
  }

  #end(id: string): void {
    for (const hash of this.#outstanding.get(id)?.data.keys() ?? []) {
      const known = this.#data.get(hash);
      if (known && --known.users === 0) {
        this.#data.delete(hash);
      }
    }
    this.#outstanding.delete(id);
  }

  #count(worker: string, weights: number): void {
    this.#firstResult ??= performance.now();
    const tally = this.#tallies.get(worker) ?? { jobs: 0, weights: 0 };
    tally.jobs++;
    tally.weights += weights;
    this.#tallies.set(worker, tally);
    this.metrics.jobs.inc({ worker });
    this.metrics.weights.inc({ worker }, weights);
  }
}

/** Waits for work until a time has passed, in milliseconds; the process stays alive meanwhile. */
async function atMost(milliseconds: number, work: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: done.signal }).catch(() => {});
  await Promise.race([work, late]).finally(() => done.abort());
}
