/** A machine that works for others: the whole of the `worker` command. */
import { randomUUID } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import { shownAddress } from "../bytes/address.js";
import { memoryLimitBytes } from "../engine/limits.js";
import { UsageError } from "../errors.js";
import { EncoderPool } from "../quants/pool.js";
import { HttpAccess } from "../queue/data-access.js";
import { InputCache } from "../queue/input-cache.js";
import { JobWorker } from "../queue/job-worker.js";
import { type QueueJob, weightsOf } from "../queue/jobs.js";
import { Announcer, findPresent } from "../queue/presence.js";
import { connectRedis, disconnect, queueName } from "../queue/redis.js";
import { tokenName } from "../queue/seal.js";
import { checkToken } from "../queue/settings.js";
import { SlicePerformer } from "../queue/slice-performer.js";
import { version } from "../version.js";
import type { ChunkTasks } from "./chunk-tasks.js";
import { refusal } from "./coordinators.js";
import { OriginReader } from "./origin-reader.js";
import { type WorkerOptions, workerCommand } from "./worker-command.js";

/** Part of the memory for inputs that slices share, unless told otherwise. */
const cacheShare = 0.1;

/** A worker that is at it. */
export interface RunningWorker {
  /** What coordinators call it. */
  readonly name: string;
  /** Address of the queue, as it may be shown. */
  readonly queue: string;
  readonly threads: number;
  /** Finishes the jobs in hand and goes; with `now`, leaves them to others. */
  stop(now?: boolean): Promise<void>;
}

/**
 * Begins to take work from a queue.
 * Throws a UsageError without a token, or if there are coordinators and none that this worker could work for; an
 * EnvironmentError if there is no Redis.
 */
export async function worker(given: WorkerOptions): Promise<RunningWorker> {
  const options = workerCommand.read(given);
  const { threads = availableParallelism(), onWarning, cache = cacheShare * memoryLimitBytes() } = options;
  const token = checkToken(options.token);
  const name = `${hostname()}:${process.pid}`;
  const redis = await connectRedis(options.queue, options);
  const nameOfToken = tokenName(token);
  const refused = new Set<string>();
  /** The coordinators that are worked for; says once of others why not. */
  const lookAround = async () => {
    const coordinators = await findPresent(redis, "coordinator");
    return coordinators.filter((coordinator) => {
      const reason = refusal(coordinator, nameOfToken);
      if (reason !== undefined && !refused.has(coordinator.id)) {
        refused.add(coordinator.id);
        onWarning?.(reason);
      }
      return reason === undefined;
    });
  };
  const first = (await findPresent(redis, "coordinator")).map((coordinator) =>
    refusal(coordinator, nameOfToken),
  );
  if (first[0] !== undefined && first.every((reason) => reason !== undefined)) {
    disconnect(redis);
    throw new UsageError(first[0]);
  }
  const pool = new EncoderPool(threads, onWarning);
  const stopping = new AbortController();
  const rows = new OriginReader(options.shared, stopping.signal);
  const access = new HttpAccess(token, name);
  const performer = new SlicePerformer({ encoders: pool, access, cache: new InputCache(cache), rows });
  const done = { jobs: 0, weights: 0 };
  const countDone = ({ work }: QueueJob) => {
    done.jobs++;
    done.weights += work.kind === "encode" ? weightsOf(work) : 0;
  };
  const jobs = new JobWorker({
    redis,
    name: queueName("slices", token),
    token,
    concurrency: 2 * Math.max(1, threads),
    access,
    perform: (job) => performer.perform(job),
    onDone: countDone,
    onWarning,
  });
  let tasks: ChunkTasks | undefined;
  /** Encoders need nothing of what runs models, so that it is loaded when there are chunks. */
  const lookForTasks = async () => {
    const coordinators = await lookAround();
    if (tasks === undefined && coordinators.some(({ task }) => task !== undefined)) {
      const { ChunkTasks } = await import("./chunk-tasks.js");
      const { ModelCache } = await import("./model-cache.js");
      tasks ??= new ChunkTasks({
        ...{ redis, token, access, onWarning, threads: options.threads, onDone: countDone },
        pathOf: (model) => rows.pathOf(model),
        models: new ModelCache({
          ...{ folder: options.models, mostBytes: options.modelsSize, access },
          ...(onWarning && { onFetch: onWarning }),
        }),
      });
    }
    tasks?.look(coordinators);
  };
  const since = Date.now();
  const id = randomUUID();
  const announcer = await Announcer.begin(
    redis,
    "worker",
    () => ({
      ...{ id, host: hostname(), pid: process.pid, version, token: nameOfToken, since, threads },
      ...done,
      tasks: tasks?.names ?? [],
    }),
    lookForTasks,
  );
  return {
    name,
    queue: shownAddress(options.queue),
    threads,
    async stop(now = false) {
      await announcer.close();
      await Promise.all([jobs.close(now), tasks?.close(now)]);
      stopping.abort();
      await rows.close();
      disconnect(redis);
      await pool.close();
    },
  };
}
