/** Trying again what may succeed the next time: a bounded number of times, waiting longer each time. */
import { setTimeout as sleep } from "node:timers/promises";
import { CancelledError, EnvironmentError } from "../errors.js";

export interface RetryPolicy {
  /** Attempts in all. */
  readonly attempts: number;
  /** Wait after the first failure; it doubles with every other. */
  readonly firstWaitMs: number;
  /** Longest wait, even if the server asks for more. */
  readonly longestWaitMs: number;
}

/** About two minutes in all: a router that starts anew, a server's limit on requests. */
export const patient: RetryPolicy = { attempts: 9, firstWaitMs: 500, longestWaitMs: 300_000 };

/** A failure that may pass: a dropped connection, an overloaded server. */
export class TransientError extends Error {
  /** How long the server asks to wait. */
  readonly waitMs: number | undefined;

  constructor(
    /** What happened, as the middle of a sentence. */
    problem: string,
    waitMs?: number | undefined,
    options?: ErrorOptions,
  ) {
    super(problem, options);
    this.waitMs = waitMs;
  }
}

/**
 * Runs `attempt` until it does not throw a TransientError. Throws an EnvironmentError that begins with `name` after
 * the last attempt, a CancelledError once `signal` is aborted, and every other error at once.
 */
export async function withRetries<T>(
  name: string,
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    if (signal?.aborted) {
      throw new CancelledError("stopped");
    }
    try {
      return await attempt();
    } catch (error) {
      if (signal?.aborted) {
        throw new CancelledError("stopped");
      }
      if (!(error instanceof TransientError)) {
        throw error;
      }
      if (failures >= policy.attempts) {
        throw givenUp(name, error, failures);
      }
      await sleep(waitMs(policy, failures, error.waitMs), undefined, { signal }).catch(() => {});
    }
  }
}

/** Exponential, between half and all of it, so that requests that failed together are not repeated together. */
function waitMs({ firstWaitMs, longestWaitMs }: RetryPolicy, failures: number, asked = 0): number {
  const wait = firstWaitMs * 2 ** (failures - 1) * (0.5 + Math.random() / 2);
  return Math.min(Math.max(wait, asked), longestWaitMs);
}

function givenUp(name: string, error: TransientError, attempts: number): EnvironmentError {
  return new EnvironmentError(
    `${name}: ${error.message}, ${attempts} times in a row; check the network and the address, and try again later.`,
    { file: name, attempts },
    { cause: error },
  );
}

/** Milliseconds that a `Retry-After` header asks for (RFC 9110, 10.2.3: seconds, or a date). */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) {
    return undefined;
  }
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
