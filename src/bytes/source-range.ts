/** The bounds of sources. */
import { MalformedInputError } from "../errors.js";
import type { ByteSource } from "./source.js";

/** Throws unless [offset, offset + length) lies inside the source. */
export function checkRange(source: ByteSource, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new MalformedInputError(`${source.name}: a read of ${length} bytes at ${offset} makes no sense.`, {
      file: source.name,
      offset,
    });
  }
  if (offset + length > source.byteLength) {
    throw new MalformedInputError(
      `${source.name}: needs ${length} bytes at offset ${offset} but the file has only ${source.byteLength} bytes. The file is truncated; download or write it again.`,
      { file: source.name, offset },
    );
  }
}
