/** The connection to Redis, and the names under which things lie there. Loaded only where a queue is used. */
import { shownAddress } from "../bytes/address.js";
import { EnvironmentError } from "../errors.js";
import { version } from "../version.js";
import { Redis } from "./clients.js";
import { tokenName } from "./seal.js";

/** Keys of all that is not BullMQ's begin so. */
export const keyPrefix = "lopsided";

/** Time within which Redis must answer at the beginning, in milliseconds. */
const firstAnswerMs = 5000;

/** The longest wait between two attempts to reach a Redis that has gone. */
const longestRetryMs = 2000;

/** What is done by one kind of worker and not by another: slices need no model, chunks do. */
export type QueueKind = "slices" | "chunks";

/**
 * Name of a queue. Whoever could come to other results, or has another token, has a queue of another name, and never
 * sees the jobs. `task` is the digest of what is done with chunks.
 */
export function queueName(kind: QueueKind, token: string, task = ""): string {
  return [keyPrefix, kind, version, ...(task ? [task.slice(0, 12)] : []), tokenName(token)].join("-");
}

/** Copies that were made of a connection: BullMQ makes some for itself, and ends them only if Redis lets it. */
const copies = new WeakMap<Redis, Redis[]>();

export interface RedisListeners {
  /** Told when Redis has gone, and when it is back. */
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/**
 * Connects. Throws an EnvironmentError if there is no Redis or it refuses us; one that goes later is waited for, and
 * what was asked of it is asked when it is back.
 */
export async function connectRedis(address: string, { onWarning }: RedisListeners = {}): Promise<Redis> {
  const shown = shownAddress(address);
  let isReady = false;
  let isGone = false;
  let problem = "";
  const connection = new Redis(address, {
    lazyConnect: true,
    connectTimeout: firstAnswerMs,
    // What BullMQ asks of connections that wait for jobs.
    maxRetriesPerRequest: null,
    retryStrategy: (attempt) => (isReady ? Math.min(50 * attempt, longestRetryMs) : null),
  });
  const redis = rememberCopies(connection);
  redis.on("error", (error) => {
    problem = error.message;
  });
  redis.on("close", () => {
    if (isReady && !isGone) {
      isGone = true;
      onWarning?.(`Redis at ${shown} has gone; waiting for it.`);
    }
  });
  redis.on("ready", () => {
    if (isGone) {
      isGone = false;
      onWarning?.(`Redis at ${shown} is back.`);
    }
  });
  try {
    await redis.connect();
    await redis.ping();
  } catch (cause) {
    redis.disconnect();
    const reason = problem || (cause instanceof Error ? cause.message : String(cause));
    throw new EnvironmentError(
      `${shown}: no Redis answers (${reason}); check the address, and that a Redis or Valkey server runs there.`,
      { queue: shown },
      { cause },
    );
  }
  isReady = true;
  return redis;
}

/**
 * Ends a connection and all copies of it, whether Redis is there or not. None of them connects again, whatever BullMQ
 * still wants of it: one that did would keep the process alive.
 */
export function disconnect(redis: Redis): void {
  redis.removeAllListeners("close");
  for (const connection of [redis, ...copiesOf(redis)]) {
    connection.connect = () => Promise.reject(new Error("the connection has been ended."));
    connection.disconnect();
  }
}

/** Has a connection and its copies remember what is made of them. */
function rememberCopies(redis: Redis): Redis {
  const duplicate = redis.duplicate.bind(redis);
  const made: Redis[] = [];
  copies.set(redis, made);
  redis.duplicate = (options) => {
    const copy = rememberCopies(duplicate(options));
    made.push(copy);
    return copy;
  };
  return redis;
}

function copiesOf(redis: Redis): readonly Redis[] {
  return (copies.get(redis) ?? []).flatMap((copy) => [copy, ...copiesOf(copy)]);
}
