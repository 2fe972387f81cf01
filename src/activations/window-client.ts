/** The job's side of making windows: asks for a file or for vectors, and sleeps until they are there. */
import type { JobHost } from "../engine/job.js";
import { CancelledError, InternalError } from "../errors.js";
import { deserializeError } from "../serialized-error.js";
import type { WindowReply, WindowRequest } from "./window-messages.js";

type Question = WindowRequest extends infer Request
  ? Request extends WindowRequest
    ? Omit<Request, "request">
    : never
  : never;

/** What a job that runs windows needs of its host; other events of the job are its own affair. */
export type WindowHost = Pick<JobHost<WindowRequest, WindowReply>, "receive" | "waitForMessage"> & {
  emit(event: WindowRequest): void;
} & Pick<JobHost, "library" | "model" | "isCancelled">;

export class WindowClient {
  readonly #host: WindowHost;
  readonly #replies = new Map<number, WindowReply>();
  #asked = 0;

  constructor(host: WindowHost) {
    this.#host = host;
  }

  /** Asks; the answer is had from `wait` with the number that is returned. */
  ask(question: Question): number {
    const request = this.#asked++;
    this.#host.emit({ ...question, request } as WindowRequest);
    return request;
  }

  /** Sleeps until a question is answered. Throws what went wrong, or a CancelledError. */
  wait(request: number): Float32Array | undefined {
    for (;;) {
      const reply = this.#replies.get(request);
      if (reply) {
        this.#replies.delete(request);
        if ("error" in reply) {
          throw deserializeError(reply.error);
        }
        return reply.vectors;
      }
      if (this.#host.isCancelled()) {
        throw new CancelledError("the work was stopped.");
      }
      this.#host.waitForMessage();
      for (let next = this.#host.receive(); next; next = this.#host.receive()) {
        this.#replies.set(next.request, next);
      }
    }
  }

  /** Vectors of tokens. */
  embeddings(model: number, tokens: Int32Array, all?: Int32Array): Float32Array {
    const vectors = this.wait(this.ask({ kind: "embeddings", model, tokens, ...(all && { all }) }));
    if (vectors === undefined) {
      throw new InternalError("asked for vectors, and none came.");
    }
    return vectors;
  }
}
