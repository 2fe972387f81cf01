/**
 * Who is there: coordinators and workers announce themselves in Redis under keys that expire. This is for people to
 * see and for early warnings; nothing that decides bytes depends on it.
 */
import { z } from "zod";
import { sealedTask } from "./chunk-task.js";
import type { Redis } from "./clients.js";
import { keyPrefix } from "./redis.js";

/** Announcements are forgotten after this time, in seconds, and repeated several times before. */
const forgottenAfter = 15;
const repeatedAfterMs = 2000;

/** Announcements that are looked at: more are nobody's honest work. */
const mostAnnouncements = 10_000;

const name = z.string().max(500);
const number = z.number();

const common = {
  id: name,
  host: name,
  pid: z.int(),
  version: name,
  /** Of the token; see `tokenName`. */
  token: name,
  /** When it began, in milliseconds since 1970. */
  since: number,
};

export const coordinatorPresence = z.object({
  ...common,
  url: name,
  step: name,
  done: number,
  total: number,
  unit: name,
  /** What is done with chunks; absent where slices are encoded. */
  task: sealedTask.optional(),
});

export const workerPresence = z.object({
  ...common,
  threads: z.int().min(0).max(100_000),
  /** Finished jobs. */
  jobs: number,
  /** Weights in them. */
  weights: number,
  /** Digests of the tasks whose chunks it runs. */
  tasks: z.array(name).max(1000),
});

export type CoordinatorPresence = z.output<typeof coordinatorPresence>;
export type WorkerPresence = z.output<typeof workerPresence>;

type Role = "coordinator" | "worker";

const schemas = { coordinator: coordinatorPresence, worker: workerPresence };

type Presence<R extends Role> = z.output<(typeof schemas)[R]>;

/** All that are there, in the order of their ids. What is not of the right form is no announcement of ours. */
export async function findPresent<R extends Role>(redis: Redis, role: R): Promise<Presence<R>[]> {
  const keys = new Set<string>();
  let cursor = "0";
  do {
    const [next, found] = await redis.scan(cursor, "MATCH", `${keyPrefix}:${role}:*`, "COUNT", 1000);
    for (const key of found) {
      keys.add(key);
    }
    cursor = next;
  } while (cursor !== "0" && keys.size < mostAnnouncements);
  const texts = keys.size === 0 ? [] : await redis.mget([...keys].sort());
  return texts.flatMap((text) => {
    const read = schemas[role].safeParse(parsed(text));
    return read.success ? [read.data as Presence<R>] : [];
  });
}

function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return undefined;
  }
}

/** Whether a coordinator has announced itself lately. */
export async function isPresent(redis: Redis, id: string): Promise<boolean> {
  return (await redis.exists(keyOf("coordinator", id))) === 1;
}

/** Announces until it is closed. */
export class Announcer<R extends Role> {
  readonly #redis: Redis;
  readonly #role: R;
  readonly #describe: () => Presence<R>;
  readonly #onRound: () => Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #isBusy = false;

  private constructor(redis: Redis, role: R, describe: () => Presence<R>, onRound: () => Promise<void>) {
    this.#redis = redis;
    this.#role = role;
    this.#describe = describe;
    this.#onRound = onRound;
    this.#timer = setInterval(() => void this.#repeat(), repeatedAfterMs);
    this.#timer.unref();
  }

  /** `onRound` is called with every announcement: the time to look who else is there. */
  static async begin<R extends Role>(
    redis: Redis,
    role: R,
    describe: () => Presence<R>,
    onRound: () => Promise<void> = async () => {},
  ): Promise<Announcer<R>> {
    const announcer = new Announcer(redis, role, describe, onRound);
    await announcer.#announce();
    return announcer;
  }

  async #repeat(): Promise<void> {
    // While Redis is away, announcements do not pile up.
    if (this.#isBusy || this.#redis.status !== "ready") {
      return;
    }
    this.#isBusy = true;
    try {
      await this.#announce();
    } catch {
      // Redis went meanwhile, which its connection tells; the next round is soon.
    } finally {
      this.#isBusy = false;
    }
  }

  async #announce(): Promise<void> {
    const presence = this.#describe();
    const key = keyOf(this.#role, presence.id);
    await this.#redis.set(key, JSON.stringify(presence), "EX", forgottenAfter);
    await this.#onRound();
  }

  /** Takes the announcement back, if Redis is there to be told. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#redis.status === "ready") {
      await this.#redis.del(keyOf(this.#role, this.#describe().id)).catch(() => {});
    }
  }
}

function keyOf(role: Role, id: string): string {
  return `${keyPrefix}:${role}:${id}`;
}
