/** Importance matrices on disk, in either format. */

import { writeWholeFile } from "../bytes/atomic-write.js";
import { type ByteSource, FileSource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { datParts, readDat } from "./dat.js";
import { ggufParts, readImatrixGguf } from "./gguf.js";
import type { Imatrix, ImatrixFormat } from "./imatrix.js";

/**
 * Reads an importance matrix, GGUF or `.dat` by its first bytes. Nothing in the file is believed: lengths,
 * duplicates, missing partners and values that are not finite or negative are MalformedInputErrors that name
 * the file and the entry.
 */
export async function readImatrix(source: ByteSource): Promise<Imatrix> {
  if (source.byteLength < 4) {
    throw new MalformedInputError(
      `${source.name}: has only ${source.byteLength} bytes; an importance matrix has more.`,
      { file: source.name },
    );
  }
  const magic = new TextDecoder("latin1").decode(await source.read(0, 4));
  return magic === "GGUF" ? readImatrixGguf(source) : readDat(source);
}

/** The format of a file of this name, unless another is asked for. */
export function formatOf(path: string): ImatrixFormat {
  return path.endsWith(".dat") ? "dat" : "gguf";
}

/** Reads the importance matrix at `path`. */
export async function readImatrixFile(path: string): Promise<Imatrix> {
  const source = await FileSource.open(path);
  try {
    return await readImatrix(source);
  } finally {
    await source.close();
  }
}

/**
 * Writes an importance matrix as llama-imatrix would, under a temporary name until it is whole. One that was
 * read from `.dat` can only become GGUF by `countedByTokens`, as it does not say how long its chunks are.
 */
export async function writeImatrixFile(path: string, imatrix: Imatrix, format: ImatrixFormat): Promise<void> {
  await writeWholeFile(path, ...(format === "gguf" ? ggufParts(imatrix) : datParts(imatrix)));
}
