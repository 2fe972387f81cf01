/** What there is on a queue: the whole of the `queue` command. */
import { shownAddress } from "../bytes/address.js";
import { Queue, type Redis } from "./clients.js";
import { type CoordinatorPresence, findPresent, type WorkerPresence } from "./presence.js";
import { type QueueOptions, queueCommand } from "./queue-command.js";
import { connectRedis, disconnect, keyPrefix } from "./redis.js";

/** Jobs of machines that could work for one another. */
export interface JobCounts {
  /** Name of the queue: what is done, by which version, of which token. */
  readonly name: string;
  readonly waiting: number;
  readonly active: number;
  /** That wait for another attempt. */
  readonly delayed: number;
}

export interface QueueResult {
  readonly queue: string;
  readonly coordinators: readonly CoordinatorPresence[];
  readonly workers: readonly WorkerPresence[];
  readonly jobs: readonly JobCounts[];
}

/** Looks at a queue. Throws an EnvironmentError if there is no Redis. */
export async function queue(given: QueueOptions): Promise<QueueResult> {
  const options = queueCommand.read(given);
  const redis = await connectRedis(options.queue);
  try {
    return {
      queue: shownAddress(options.queue),
      coordinators: await findPresent(redis, "coordinator"),
      workers: await findPresent(redis, "worker"),
      jobs: await countJobs(redis),
    };
  } finally {
    disconnect(redis);
  }
}

async function countJobs(redis: Redis): Promise<JobCounts[]> {
  const counts: JobCounts[] = [];
  for (const name of await queueNames(redis)) {
    const queue = new Queue(name, { connection: redis });
    const { waiting = 0, active = 0, delayed = 0 } = await queue.getJobCounts("waiting", "active", "delayed");
    counts.push({ name, waiting, active, delayed });
    await queue.close();
  }
  return counts;
}

/** BullMQ notes each queue that was ever used under `bull:NAME:meta`. */
async function queueNames(redis: Redis): Promise<string[]> {
  const names = new Set<string>();
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, "MATCH", `bull:${keyPrefix}-*:meta`, "COUNT", 1000);
    for (const key of keys) {
      names.add(key.split(":")[1] ?? "");
    }
    cursor = next;
  } while (cursor !== "0");
  return [...names].sort();
}
