/** What the options of a command say of its queue. */
import { UsageError } from "../errors.js";
import type { ListenAddress } from "./listen-address.js";

export interface QueueGiven {
  readonly queue?: string | undefined;
  readonly token?: string | undefined;
  readonly listen?: ListenAddress | undefined;
  readonly local?: boolean | undefined;
}

export interface QueueSettings {
  readonly queue: string;
  readonly token: string;
  readonly listen: ListenAddress | undefined;
  /** Whether this machine works, too. */
  readonly local: boolean;
}

/** The settings; undefined without a queue. Throws a UsageError for options that need one, and for a missing token. */
export function queueSettings({ queue, token, listen, local = true }: QueueGiven): QueueSettings | undefined {
  if (queue === undefined) {
    if (listen !== undefined || !local) {
      throw new UsageError("`listen` and `local` say how a queue is used; name one with `queue`.");
    }
    return undefined;
  }
  return { queue, token: checkToken(token), listen, local };
}

/** Throws a UsageError if there is no token. */
export function checkToken(token: string | undefined): string {
  if (token === undefined) {
    throw new UsageError(
      'a queue needs a `token` that all its machines have, for example of "openssl rand -hex 32".',
    );
  }
  return token;
}
