/** Removing a queue that nobody will use again. */
import { Queue, type Redis } from "./clients.js";

/** Removes all that Redis has of a queue, as far as Redis is there. */
export async function forgetQueue(redis: Redis, name: string): Promise<void> {
  if (redis.status !== "ready") {
    return;
  }
  const queue = new Queue(name, { connection: redis });
  queue.on("error", () => {});
  await queue.obliterate({ force: true }).catch(() => {});
  await queue.close().catch(() => {});
}
