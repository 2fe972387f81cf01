/** What crosses between a process and the isolated one: structured clones. */

/** What to run, and within which bounds: the first message. */
export interface GuardSetup {
  /** Address of the worker's module. */
  readonly module: string;
  /** Its `workerData.data`. */
  readonly data: unknown;
  /**
   * Address of a module that runs once in a thread of its own, before all workers; what it posts is their
   * `workerData.prepared`.
   */
  readonly prepare: string | undefined;
  /** A new worker for every request, so that none meets what another left behind. */
  readonly fresh: boolean;
  /** Bound of the process's memory while it works on a request. */
  readonly memoryMegabytes: number;
  /** Options of Node.js for the workers: the rights they have. */
  readonly workerArgv: readonly string[];
}

/** What a worker finds in `workerData`. */
export interface IsolatedWorkerSetup<Data, Prepared> {
  readonly data: Data;
  readonly prepared: Prepared;
}

export interface ToGuard<Request> {
  readonly request: Request;
  readonly timeoutMs: number;
}

/** Why a request has no reply. */
export type Failure = "too slow" | "too much memory" | "ended";

/** What the guard sends. */
export type FromGuard<Reply> =
  /** A worker waits for a request. */
  | { readonly type: "ready" }
  | { readonly type: "reply"; readonly reply: Reply }
  | { readonly type: "failed"; readonly failure: Failure }
  /** No worker can be started. */
  | { readonly type: "broken"; readonly reason: string };

/** What a worker sends to the guard's thread. */
export type FromWorker = { readonly type: "ready" } | { readonly type: "reply"; readonly reply: unknown };
