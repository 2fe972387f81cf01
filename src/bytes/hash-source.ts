/** SHA-256 of a local file in the thread at hand; `sha256.ts` decides which thread that is. */
import { createHash } from "node:crypto";
import { CancelledError } from "../errors.js";
import type { SerializedError } from "../serialized-error.js";
import type { FileSource } from "./source.js";

/** Bytes read at a time: large enough for the disk, small enough for others to get their turn in between. */
const pieceBytes = 1 << 20;

/** What the hashing thread answers. */
export type HashReply = { readonly sha256: string } | { readonly error: SerializedError };

/** SHA-256 of all of a source, computed here. */
export async function sha256Of(source: FileSource, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const piece = new Uint8Array(Math.min(pieceBytes, source.byteLength));
  for (let offset = 0; offset < source.byteLength; offset += pieceBytes) {
    if (signal?.aborted) {
      throw new CancelledError("stopped");
    }
    const bytes = piece.subarray(0, Math.min(pieceBytes, source.byteLength - offset));
    await source.readInto(bytes, offset);
    hash.update(bytes);
  }
  return hash.digest("hex");
}
