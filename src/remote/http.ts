/** HTTP as it is needed here: GET, with retries, time limits and the status checked before anything else. */
import { setMaxListeners } from "node:events";
import { hasCredentials } from "../bytes/address.js";
import { CancelledError, EnvironmentError, systemErrorCode, UsageError } from "../errors.js";
import type { RecentRanges } from "./recent-ranges.js";
import { fetchFollowing } from "./redirects.js";
import { patient, type RetryPolicy, retryAfterMs, TransientError, withRetries } from "./retry.js";

export interface HttpOptions {
  readonly signal?: AbortSignal | undefined;
  readonly retry?: RetryPolicy | undefined;
  /** A connection on which nothing arrives for so long is given up. */
  readonly stallMs?: number | undefined;
  /** Keeps what was read lately, so that it need not be fetched again. */
  readonly recent?: RecentRanges | undefined;
}

export interface HttpTarget {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A request whose answer is wanted whole. */
export interface HttpRequest {
  /** What to call it in messages. */
  readonly name: string;
  /** Where to ask; called before each attempt. */
  readonly target: () => HttpTarget;
  /** Most bytes of the answer that are read; more are an error. */
  readonly mostBytes: number;
  /** What to do about 401 and 403, as the end of a message. */
  readonly accessHint?: string | undefined;
  /** Looks at the answer before its body is read; what it throws ends the attempt. Default: status 200. */
  readonly check?: ((response: Response) => void) | undefined;
}

export interface HttpAnswer {
  readonly headers: Headers;
  /** Where it came from in the end. */
  readonly url: string;
  readonly body: Uint8Array;
}

const defaultStallMs = 30_000;

/**
 * Asks until there is an answer. Throws an EnvironmentError: at once for what will not change by asking again (no
 * access, no such file, a bad certificate), otherwise after the last attempt; a UsageError for an address that is
 * none; a CancelledError when stopped.
 */
export async function httpGet(request: HttpRequest, options: HttpOptions): Promise<HttpAnswer> {
  const { retry = patient, signal } = options;
  if (signal) {
    setMaxListeners(0, signal); // one for each request under way
  }
  return await withRetries(request.name, retry, signal, () => attempt(request, options));
}

async function attempt(request: HttpRequest, options: HttpOptions): Promise<HttpAnswer> {
  const { signal, stallMs = defaultStallMs } = options;
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(new TransientError("nothing arrived in time")), stallMs);
  const { url, headers } = request.target();
  checkFetchable(request.name, url);
  // Not AbortSignal.any: what it makes stays in memory for as long as `signal` does, 3 kB for each request.
  const stop = () => over.abort(new CancelledError("stopped"));
  signal?.addEventListener("abort", stop);
  try {
    const response = await fetchFollowing(request.name, url, {
      headers: { ...headers, "accept-encoding": "identity" },
      signal: over.signal,
    });
    timer.refresh();
    (request.check ?? checkOk(request))(response);
    const body = await readBody(request, response, () => timer.refresh());
    return { headers: response.headers, url: response.url, body };
  } catch (error) {
    throw asOurs(request.name, over.signal.aborted ? over.signal.reason : error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    over.abort(); // a body that was not read to its end would keep the connection
  }
}

/**
 * Throws a UsageError for an address that cannot be fetched: one that is none, and one with a password, which is soon
 * in a log (fetch would refuse it too, and repeat it).
 */
export function checkFetchable(name: string, url: string): void {
  const problem = hasCredentials(url)
    ? "has a user name or password in it; use an address without, or download the file"
    : "is not an address that can be fetched; check it";
  if (!URL.canParse(url) || hasCredentials(url)) {
    throw new UsageError(`${name}: ${problem}.`, { model: name });
  }
}

function checkOk(request: HttpRequest) {
  return (response: Response) => {
    if (response.status !== 200) {
      throw statusError(request, response);
    }
  };
}

/** The error that stands for a status that is not the one wanted. */
export function statusError({ name, accessHint }: HttpRequest, { status, headers }: Response): Error {
  if (status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501)) {
    const wait = retryAfterMs(headers.get("retry-after"), Date.now());
    return new TransientError(`the server answered with status ${status}`, wait);
  }
  const details = { file: name, status };
  if (status === 401 || status === 403) {
    const hint = accessHint ?? "check the address and whether it needs a password.";
    return new EnvironmentError(`${name}: the server refuses access (status ${status}); ${hint}`, details);
  }
  if (status === 404 || status === 410) {
    return new EnvironmentError(`${name}: does not exist (status ${status}); check the address.`, details);
  }
  return new EnvironmentError(
    `${name}: the server answered with status ${status}; check the address.`,
    details,
  );
}

async function readBody(
  { name, mostBytes }: HttpRequest,
  { body, headers }: Response,
  onBytes: () => void,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    onBytes();
    length += chunk.byteLength;
    if (length > mostBytes) {
      throw new EnvironmentError(
        `${name}: the server sends more than the ${mostBytes} bytes expected; use another server or download the file.`,
        { file: name },
      );
    }
    chunks.push(chunk);
  }
  const promised = headers.get("content-length");
  if (promised !== null && Number(promised) !== length && headers.get("content-encoding") === null) {
    throw new TransientError(`the connection ended after ${length} of ${promised} bytes`);
  }
  return joined(chunks, length);
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let end = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, end);
    end += chunk.byteLength;
  }
  return bytes;
}

/** What fetch throws is a TypeError whose cause tells more: see undici's errors, and Node's. */
function asOurs(name: string, error: unknown): unknown {
  if (!(error instanceof TypeError)) {
    return error;
  }
  const code = systemErrorCode(error.cause);
  const text = error.cause instanceof Error ? error.cause.message : error.message;
  if (code !== undefined && /CERT|SELF_SIGNED|ERR_TLS|ERR_SSL/.test(code)) {
    return new EnvironmentError(
      `${name}: the server cannot be trusted (${code}); check the address, and the clock of this machine.`,
      { file: name },
      { cause: error },
    );
  }
  return new TransientError(`the connection failed (${code ?? text})`, undefined, { cause: error });
}
