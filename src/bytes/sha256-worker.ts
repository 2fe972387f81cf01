/** A thread that computes the SHA-256 of one file, whose path is its `workerData`. See `sha256.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import { serializeError } from "../serialized-error.js";
import { type HashReply, sha256Of } from "./hash-source.js";
import { FileSource } from "./source.js";

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
