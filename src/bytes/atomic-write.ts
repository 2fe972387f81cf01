/** Small files written whole: under a temporary name until every byte is on the disk. */

import { OutputFile } from "./output.js";

/**
 * Writes a file of bytes that are in memory, one part after another, under a temporary name until it is whole.
 * Throws an EnvironmentError if it cannot be written; what lay at `path` is then as it was.
 */
export async function writeWholeFile(path: string, ...parts: readonly Uint8Array[]): Promise<void> {
  const byteLength = parts.reduce((total, part) => total + part.byteLength, 0);
  const output = await OutputFile.create(path, byteLength);
  try {
    let offset = 0;
    for (const part of parts) {
      await output.write(offset, part);
      offset += part.byteLength;
    }
    await output.commit();
  } finally {
    await output.discard();
  }
}

/** Writes a text, see `writeWholeFile`. */
export async function writeTextFile(path: string, text: string): Promise<void> {
  await writeWholeFile(path, new TextEncoder().encode(text));
}
