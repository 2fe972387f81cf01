/** SHA-256 of files, computed beside other work, and of sources as they are read. */
import { stat } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { CancelledError, InternalError } from "../errors.js";
import { deserializeError } from "../serialized-error.js";
import { type HashReply, sha256Of } from "./hash-source.js";
import { type ByteSource, FileSource } from "./source.js";

/**
 * Files from this size on are hashed in a thread of their own. Otherwise hashing a model would be most of what the
 * main thread does, and keep it from supplying many encoder threads.
 */
const threadBytes = 64 << 20;

/**
 * SHA-256 of a local file in hexadecimal. Memory is constant. Throws an EnvironmentError if it cannot be read, a
 * CancelledError if `signal` is aborted.
 */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const source = await FileSource.open(path);
  try {
    return source.byteLength < threadBytes
      ? await sha256Of(source, signal)
      : await sha256InThread(path, signal);
  } finally {
    await source.close();
  }
}

/** Digests by path, size, date and inode. */
const known = new Map<string, string>();

/** As `sha256OfFile`; a file that has not changed since this process asked last is not read again. */
export async function fileSha256(path: string, signal?: AbortSignal): Promise<string> {
  const { size, mtimeNs, ino } = await stat(path, { bigint: true });
  const key = `${path} ${size} ${mtimeNs} ${ino}`;
  const sha256 = known.get(key) ?? (await sha256OfFile(path, signal));
  known.set(key, sha256);
  return sha256;
}

/**
 * Begins the SHA-256 of a source that is about to be read, and returns a function that says it when it has been
 * read. A local file is read a second time meanwhile; of what comes from a server the bytes are hashed as they
 * come.
 */
export function beginChecksum(source: ByteSource, signal?: AbortSignal): () => Promise<string> {
  const { remote } = source;
  if (remote) {
    remote.beginChecksum();
    return () => remote.sha256();
  }
  const hashing = sha256OfFile(source.name, signal);
  hashing.catch(() => {}); // it is awaited later; until then a failure is not "unhandled"
  return () => hashing;
}

async function sha256InThread(path: string, signal: AbortSignal | undefined): Promise<string> {
  if (signal?.aborted) {
    throw new CancelledError("stopped");
  }
  const worker = new Worker(new URL("./sha256-worker.js", import.meta.url), {
    workerData: path,
    execArgv: [],
  });
  const stopped = new Promise<never>((_, reject) => {
    signal?.addEventListener("abort", () => reject(new CancelledError("stopped")), { once: true });
  });
  stopped.catch(() => {}); // after the hash is there, nobody waits for it
  const reply = new Promise<HashReply>((resolve, reject) => {
    worker.on("message", resolve);
    worker.on("error", reject);
    worker.on("exit", (code) =>
      reject(new InternalError(`the hashing thread ended with exit code ${code}.`)),
    );
  });
  try {
    const result = await Promise.race([reply, stopped]);
    if ("error" in result) {
      throw deserializeError(result.error);
    }
    return result.sha256;
  } finally {
    await worker.terminate();
  }
}
