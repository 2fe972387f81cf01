/** How a worker gets the data of a job and brings its result. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { EnvironmentError } from "../errors.js";
import type { DataReference, QueueJob } from "./jobs.js";
import {
  dataPath,
  filePath,
  outcomeHeader,
  type ResultOutcome,
  resultPath,
  sealedHeaders,
  workerHeader,
} from "./requests.js";
import { sha256 } from "./seal.js";

export interface DataAccess {
  /**
   * Bytes of a SHA-256, exactly so many. Throws `NotWanted` if the coordinator has no use for the job any more, an
   * EnvironmentError if it cannot be reached.
   */
  fetch(job: QueueJob, reference: DataReference): Promise<Uint8Array>;
  /** Brings the result. Errors: as `fetch`. */
  deliver(job: QueueJob, outcome: ResultOutcome, body: Uint8Array): Promise<void>;
}

/** The job is done, or its run is over. */
export class NotWanted extends Error {}

/** Something is not possible now, and may be at another time. */
export class LaterError extends EnvironmentError {}

/** Waits between attempts, in milliseconds: a coordinator that restarts its network is back by then. */
const waits = [100, 500, 1500, 3000];

/** Time that a request may take: a large input on a slow line, in milliseconds. */
const requestTimeoutMs = 300_000;

/** Longest answer that is a text. */
const mostTextBytes = 1000;

/** What is asked besides the path. */
interface Question {
  /** Most bytes of an answer. */
  readonly mostBytes: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** The coordinator's HTTP server, as holders of the token use it. */
export class HttpAccess implements DataAccess {
  readonly #token: string;
  readonly #worker: string;

  /** `worker` is what the coordinator calls this machine. */
  constructor(token: string, worker: string) {
    this.#token = token;
    this.#worker = worker;
  }

  async fetch({ coordinator }: QueueJob, { sha256: hash, bytes }: DataReference): Promise<Uint8Array> {
    return await retried(coordinator, async () => {
      const found = await this.#ask(coordinator, "GET", dataPath(hash), { mostBytes: bytes });
      if (found.byteLength !== bytes || sha256(found) !== hash) {
        throw new Error(`sent other bytes than ${hash.slice(0, 12)} names`);
      }
      return found;
    });
  }

  /** A part of a file of this SHA-256 that a coordinator serves. Errors: as `fetch`. */
  async readFile(coordinator: string, hash: string, offset: number, length: number): Promise<Uint8Array> {
    return await retried(coordinator, async () => {
      const path = filePath(hash, offset, length);
      const found = await this.#ask(coordinator, "GET", path, { mostBytes: length });
      if (found.byteLength !== length) {
        throw new Error(`sent ${found.byteLength} of ${length} bytes`);
      }
      return found;
    });
  }

  async deliver({ id, coordinator }: QueueJob, outcome: ResultOutcome, body: Uint8Array): Promise<void> {
    await retried(coordinator, async () => {
      const headers = { [outcomeHeader]: outcome, [workerHeader]: this.#worker };
      await this.#ask(coordinator, "PUT", resultPath(id), { mostBytes: mostTextBytes, headers, body });
    });
  }

  /** The answer's body. node:http takes half the processor time of fetch. */
  async #ask(coordinator: string, method: string, path: string, { mostBytes, headers, body }: Question) {
    const asking = request(coordinator + path, {
      method,
      headers: { ...headers, ...sealedHeaders(this.#token, method, path, body) },
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    // What breaks after the answer has begun shows while it is read.
    asking.on("error", () => {});
    asking.end(body);
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    const { statusCode: status = 0 } = response;
    if (status >= 200 && status < 300) {
      return await readAtMost(response, mostBytes);
    }
    const reason = Buffer.from(await readAtMost(response, mostTextBytes))
      .toString("utf8")
      .trim();
    if (status === 404 || status === 410) {
      throw new NotWanted(reason);
    }
    if (status < 500 && status !== 422) {
      throw new EnvironmentError(`${coordinator}: refused this worker (${status}: ${reason}).`);
    }
    throw new Error(`answered with status ${status}`);
  }
}

/** Tries again what may have been chance: a connection that broke, bytes that came damaged. */
async function retried<T>(coordinator: string, attempt: () => Promise<T>): Promise<T> {
  for (const wait of [...waits, undefined]) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof NotWanted || error instanceof EnvironmentError) {
        throw error;
      }
      if (wait === undefined) {
        throw new LaterError(
          `${coordinator}: the coordinator cannot be reached (${reasonOf(error)}); check the network between the machines.`,
          {},
          { cause: error },
        );
      }
    }
    await sleep(wait);
  }
  throw new NotWanted();
}

/** What fetch throws says little; its cause says more. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const { code, message } = cause as { code?: unknown; message?: unknown };
  return String(code ?? message ?? cause);
}

async function readAtMost(response: IncomingMessage, mostBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > mostBytes) {
      throw new Error(`sent more than ${mostBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.byteLength;
  }
  return body;
}
