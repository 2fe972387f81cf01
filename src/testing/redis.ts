/** A real Redis server for tests, with an append-only file, that can be stopped and started again. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";

/** Why tests with Redis are skipped here; false if they are not. */
export const withoutRedis: string | false =
  spawnSync("redis-server", ["--version"]).status === 0 ? false : "redis-server is not installed";

export class TestRedis {
  readonly url: string;
  readonly #port: number;
  readonly #folder: string;
  #process: ChildProcess | undefined;
  readonly #clients: Redis[] = [];

  private constructor(port: number, folder: string) {
    this.#port = port;
    this.#folder = folder;
    this.url = `redis://127.0.0.1:${port}/0`;
  }

  /** Starts a server that keeps its file in `folder`. */
  static async start(folder: string): Promise<TestRedis> {
    const redis = new TestRedis(await freePort(), folder);
    await redis.start();
    return redis;
  }

  /** Starts it again, with what its file has. */
  async start(): Promise<void> {
    const settings = { port: this.#port, bind: "127.0.0.1", dir: this.#folder, save: "", appendonly: "yes" };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    this.#process = spawn("redis-server", args, { stdio: "ignore" });
    const client = this.client();
    while ((await client.ping().catch(() => "")) !== "PONG") {
      await sleep(20);
    }
  }

  /** Ends it, at once with SIGKILL. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const running = this.#process;
    if (running?.exitCode === null && running.signalCode === null) {
      running.kill(signal);
      await once(running, "exit");
    }
  }

  /** Ends it for good, and all connections to it. */
  async close(): Promise<void> {
    for (const client of this.#clients) {
      client.disconnect();
    }
    await this.stop("SIGKILL");
  }

  /** A connection to it, for looking and for meddling; `close` ends it. */
  client(): Redis {
    const client = new Redis(this.url, { retryStrategy: () => 20 });
    client.on("error", () => {});
    this.#clients.push(client);
    return client;
  }

  /** Where it keeps its file. */
  get file(): string {
    return join(this.#folder, "appendonlydir");
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
