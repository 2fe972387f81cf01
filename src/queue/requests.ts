/** What workers and a coordinator say to each other over HTTP: paths, headers, and the check of who asks. */
import { isSealed, requestText, seal, sha256 } from "./seal.js";

/** SHA-256 of a request's body, which the seal covers. */
export const bodyHeader = "x-lopsided-sha256";
/** Who sends a result, for people to read. */
export const workerHeader = "x-lopsided-worker";
/** Whether a result is one, or the error that the data cause. */
export const outcomeHeader = "x-lopsided-outcome";

export type ResultOutcome = "done" | "error";

const scheme = "Lopsided";
const emptySha256 = sha256("");

export const dataPath = (hash: string) => `/data/${hash}`;
export const filePath = (hash: string, offset: number, length: number) =>
  `/files/${hash}/${offset}+${length}`;
export const resultPath = (id: string) => `/results/${id}`;

/** Headers of a request that is sealed with the token. */
export function sealedHeaders(
  token: string,
  method: string,
  path: string,
  body?: Uint8Array,
): Record<string, string> {
  const hash = body === undefined ? emptySha256 : sha256(body);
  return {
    authorization: `${scheme} ${seal(token, "request", requestText(method, path, hash))}`,
    [bodyHeader]: hash,
  };
}

/** Whether a request comes from a holder of the token: sealed by it, or with the token itself, as Prometheus sends it. */
export function isAuthorized(
  token: string,
  method: string,
  path: string,
  header: (name: string) => string | undefined,
): boolean {
  const [kind = "", given = ""] = (header("authorization") ?? "").split(" ");
  if (kind === "Bearer") {
    // Compared by digests, which takes the same time for every wrong one.
    return isSealed(token, "bearer", "", seal(given, "bearer", ""));
  }
  const hash = header(bodyHeader) ?? emptySha256;
  return kind === scheme && isSealed(token, "request", requestText(method, path, hash), given);
}
