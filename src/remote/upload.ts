/** Uploading files to a repository of the Hugging Face Hub, in one commit. */
import { pathToFileURL } from "node:url";
import { commit, createBranch, createRepo, HubApiError } from "@huggingface/hub";
import { CancelledError, EnvironmentError, LopsidedError, systemErrorCode, UsageError } from "../errors.js";
import type { OnProgress } from "../progress.js";
import { Hub, type HubOptions } from "./hub.js";
import { fetchFollowing } from "./redirects.js";
import { patient, type RetryPolicy, retryAfterMs, TransientError, withRetries } from "./retry.js";

export interface UploadedFile {
  /** In the repository. */
  readonly path: string;
  /** Of the local file. */
  readonly source: string;
  readonly bytes: number;
}

export interface UploadRequest {
  /** `owner/name`; it is created if there is none. */
  readonly repository: string;
  /** Branch; it is created if there is none. `main` by default. */
  readonly revision?: string | undefined;
  /** Of a repository that is created. */
  readonly isPrivate?: boolean | undefined;
  /** Message of the commit. */
  readonly title: string;
  readonly files: readonly UploadedFile[];
  readonly onProgress?: OnProgress | undefined;
}

export interface UploadResult {
  /** Hash of the commit. */
  readonly commit: string;
  /** Page of the repository. */
  readonly url: string;
}

/**
 * Uploads the files in one commit: all of them appear, or none. Large files go through Git LFS, in parts if the hub
 * asks for them; those that the hub has already are not sent again, so that a repeated upload goes on. Throws a
 * UsageError without a token, an EnvironmentError if the hub refuses or cannot be reached, a CancelledError.
 */
export async function uploadFiles(request: UploadRequest, options: HubOptions = {}): Promise<UploadResult> {
  const { repository, revision = "main", isPrivate, title, files } = request;
  const hub = new Hub(options);
  const { token: accessToken } = hub;
  const name = `hf://${repository}`;
  if (accessToken === undefined) {
    throw new UsageError(`${name}: set HF_TOKEN to a token that may write to the repository.`);
  }
  const repo = { type: "model", name: repository } as const;
  const progress = new UploadProgress(files, request.onProgress);
  const common = {
    repo,
    accessToken,
    hubUrl: hub.endpoint,
    fetch: retryingFetch(name, options, progress.sent),
  };
  try {
    await unlessThere(createRepo({ ...common, ...(isPrivate && { visibility: "private" as const }) }));
    if (revision !== "main") {
      await unlessThere(createBranch({ ...common, branch: revision }));
    }
    const outcome = await commit({
      ...common,
      title,
      branch: revision,
      operations: files.map(({ path, source }) => ({
        operation: "addOrUpdate",
        path,
        content: pathToFileURL(source),
      })),
      // What the tests exercise: the hub takes it as well as its own protocol.
      useXet: false,
      ...(options.signal && { abortSignal: options.signal }),
    });
    return { commit: outcome?.commit.oid ?? "", url: `${hub.endpoint}/${repository}` };
  } catch (error) {
    if (options.signal?.aborted) {
      throw new CancelledError(`${name}: stopped; nothing was published.`);
    }
    throw asOurs(name, error);
  }
}

/** Counts the bytes of files that have arrived. */
class UploadProgress {
  #done = 0;
  readonly #total: number;

  readonly #onProgress: OnProgress | undefined;

  constructor(files: readonly UploadedFile[], onProgress: OnProgress | undefined) {
    this.#onProgress = onProgress;
    this.#total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  readonly sent = (bytes: number): void => {
    this.#done = Math.min(this.#total, this.#done + bytes);
    this.#onProgress?.({ step: "publish", done: this.#done, total: this.#total, unit: "bytes" });
  };
}

/** Waits for something to be made; that it is there already (status 409) is as good. */
async function unlessThere(made: Promise<unknown>): Promise<void> {
  try {
    await made;
  } catch (error) {
    if (!(error instanceof HubApiError && error.statusCode === 409)) {
      throw error;
    }
  }
}

/** A fetch that tries again what may pass. Bodies are texts and parts of files, which can be sent twice. */
function retryingFetch(
  name: string,
  { retry = patient, signal }: HubOptions,
  onSent: (bytes: number) => void,
): typeof fetch {
  return async (input, init) => {
    const response = await withRetries(name, retry as RetryPolicy, signal, async () => {
      try {
        const answer = await fetchFollowing(name, input instanceof Request ? input.url : input, init);
        if (![408, 425, 429, 500, 502, 503, 504].includes(answer.status)) {
          return answer;
        }
        await answer.body?.cancel();
        const wait = retryAfterMs(answer.headers.get("retry-after"), Date.now());
        throw new TransientError(`the server answered with status ${answer.status}`, wait);
      } catch (error) {
        if (!(error instanceof TypeError)) {
          throw error;
        }
        const reason = systemErrorCode(error.cause) ?? error.message;
        throw new TransientError(`the connection failed (${reason})`, undefined, { cause: error });
      }
    });
    if (init?.method === "PUT" && init.body instanceof Blob) {
      onSent(init.body.size);
    }
    return response;
  };
}

/** The message of the hub itself, without addresses: those of uploads are passwords. */
function asOurs(name: string, error: unknown): unknown {
  if (error instanceof LopsidedError) {
    return error;
  }
  if (!(error instanceof HubApiError)) {
    const reason = error instanceof Error ? error.message : String(error);
    return new EnvironmentError(`${name}: cannot be uploaded (${reason}).`, {}, { cause: error });
  }
  const { statusCode, data } = error;
  const said = typeof data?.error === "string" ? `: ${data.error}` : "";
  const advice =
    statusCode === 401 || statusCode === 403
      ? "set HF_TOKEN to a token that may write to the repository"
      : "check the name of the repository and the revision";
  return new EnvironmentError(
    `${name}: the hub answered with status ${statusCode}${said}; ${advice}.`,
    { status: statusCode },
    { cause: error },
  );
}
