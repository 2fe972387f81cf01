/** What crosses between a process and the isolated one: structured clones. */

/** The first message: what to run. */
export interface GuardSetup {
  /** Address of the worker's module. */
  readonly module: string;
  /** Its `workerData`. */
  readonly data: unknown;
  /** Bound of V8's young generation; the old one's is the process's. */
  readonly youngMegabytes: number;
}

/** What an isolated worker, or its guard, sends. */
export type FromGuard =
  /** Loaded, and waiting for requests. */
  | { readonly type: "ready" }
  /** The answer to the request. */
  | { readonly type: "reply"; readonly reply: unknown }
  /** The worker cannot go on. */
  | { readonly type: "broken"; readonly reason: string };
