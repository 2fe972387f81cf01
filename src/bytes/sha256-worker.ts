/** A thread that computes the SHA-256 of one file, whose path is its `workerData`. See hash.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { type SerializedError, serializeError } from "../serialized-error.js";
import { sha256Of } from "./sha256.js";
import { FileSource } from "./source.js";

export type HashReply = { readonly sha256: string } | { readonly error: SerializedError };

async function hash(path: string): Promise<HashReply> {
  try {
    const source = await FileSource.open(path);
    try {
      return { sha256: await sha256Of(source) };
    } finally {
      await source.close();
    }
  } catch (error) {
    return { error: serializeError(error) };
  }
}

parentPort?.postMessage(await hash(workerData as string));
