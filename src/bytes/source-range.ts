/** The bounds of sources. */
import { MalformedInputError } from "../errors.js";

/** What has a beginning and an end. */
interface Extent {
  readonly name: string;
  readonly byteLength: number;
}

/** Throws unless [offset, offset + length) lies inside the source. */
export function checkRange(source: Extent, offset: number, length: number): void {
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
