import { createHash } from "node:crypto";
import { FileSource } from "../bytes/source.js";
import { CancelledError } from "../errors.js";

/** Bytes read at a time: large enough for the disk, small enough for others to get their turn in between. */
const pieceBytes = 1 << 20;

/**
 * SHA-256 of a local file in hexadecimal. Memory is constant. Throws an EnvironmentError if it cannot be read, a
 * CancelledError if `signal` is aborted.
 */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const source = await FileSource.open(path);
  try {
    const hash = createHash("sha256");
    for (let offset = 0; offset < source.byteLength; offset += pieceBytes) {
      if (signal?.aborted) throw new CancelledError("stopped");
      hash.update(await source.read(offset, Math.min(pieceBytes, source.byteLength - offset)));
    }
    return hash.digest("hex");
  } finally {
    await source.close();
  }
}
