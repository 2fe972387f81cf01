/** The tensor table of a GGUF header: one entry at a time, then all places together. */
import { quoted } from "../bytes/quoted.js";
import { strictTextOf } from "../bytes/utf8.js";
import { type TypeName, traitsOfId } from "../quants/types.js";
import type { HeaderCursor } from "./cursor.js";
import { maxDimensions } from "./format.js";

/** A tensor and where it lies. */
export interface GgufTensor {
  readonly name: string;
  /** One to four sizes, row length first. */
  readonly shape: readonly number[];
  readonly type: TypeName;
  /** From the beginning of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Fewest bytes of an entry: name length, one character, dimension count, type and offset. */
export const leastTensorBytes = 25;

/** Reads a key or a tensor's name: not empty, and valid UTF-8, so that two names never look alike. */
export function readName(cursor: HeaderCursor): string {
  const bytes = cursor.stringBytes();
  if (bytes.byteLength === 0) {
    cursor.fail(`${cursor.subject} has an empty name. The file is damaged; download or write it again.`);
  }
  const name = strictTextOf(bytes);
  if (name === undefined) {
    cursor.fail(
      `${cursor.subject} has a name that is not UTF-8. The file is damaged; download or write it again.`,
    );
  }
  return name;
}

/** Reads an entry of the table. Its offset still counts from the beginning of the data. */
export function readTensor(cursor: HeaderCursor): GgufTensor {
  const name = readName(cursor);
  cursor.subject = `tensor ${quoted(name)}`;
  const shape = readShape(cursor);
  const id = cursor.uint32();
  const traits = traitsOfId(id);
  if (traits === undefined) {
    cursor.fail(
      `tensor ${quoted(name)} has the type number ${id}, which is no tensor type that Lopsided knows. Update Lopsided, or download the file again.`,
      { tensor: name, type: id },
    );
  }
  const [columns = 1] = shape;
  if (columns % traits.blockSize !== 0) {
    cursor.fail(
      `tensor ${quoted(name)} is ${traits.name} with rows of ${columns} weights, not a multiple of ${traits.blockSize}. The file is damaged; download or write it again.`,
      { tensor: name },
    );
  }
  const blocks = shape.reduce((product, size) => product * size, 1) / traits.blockSize;
  const byteLength = blocks * traits.blockBytes;
  const offset = Number(cursor.uint64());
  if (!Number.isSafeInteger(byteLength) || !Number.isSafeInteger(offset)) {
    cursor.fail(
      `tensor ${quoted(name)} has ${byteLength} bytes at ${offset} of the data, more than any file. The file is damaged; download or write it again.`,
      { tensor: name },
    );
  }
  return { name, shape, type: traits.name, offset, byteLength };
}

/** Reads one to four sizes. A scalar, of no dimensions, is a row of one weight, as llama.cpp sees it. */
function readShape(cursor: HeaderCursor): number[] {
  const dimensions = cursor.uint32();
  if (dimensions > maxDimensions) {
    cursor.fail(
      `${cursor.subject} has ${dimensions} dimensions; at most ${maxDimensions} are possible. The file is damaged; download or write it again.`,
    );
  }
  const sizes = Array.from({ length: dimensions }, () => cursor.uint64());
  const weights = sizes.reduce((product, size) => product * size, 1n);
  if (weights === 0n || weights > BigInt(Number.MAX_SAFE_INTEGER)) {
    cursor.fail(
      `${cursor.subject} has the impossible shape [${sizes.join(", ")}]. The file is damaged; download or write it again.`,
    );
  }
  return sizes.length === 0 ? [1] : sizes.map(Number);
}

/** Throws unless every tensor is aligned and inside the file, and no two share a byte. */
export function checkPlaces(
  cursor: HeaderCursor,
  tensors: readonly GgufTensor[],
  file: { readonly dataOffset: number; readonly alignment: number; readonly fileLength: number },
): void {
  const needed = tensors.reduce((end, tensor) => Math.max(end, tensor.offset + tensor.byteLength), 0);
  for (const { name, offset, byteLength } of tensors) {
    if ((offset - file.dataOffset) % file.alignment !== 0) {
      cursor.fail(
        `tensor ${quoted(name)} starts at byte ${offset - file.dataOffset} of the data, not at a multiple of ${file.alignment}. The file is damaged; download or write it again.`,
        { tensor: name },
      );
    }
    const end = offset + byteLength;
    if (end > file.fileLength) {
      cursor.fail(
        `tensor ${quoted(name)} ends at byte ${end} but the file has ${file.fileLength} bytes, ${needed - file.fileLength} too few for all tensors. The file is truncated; download it again.`,
        { tensor: name, missingBytes: needed - file.fileLength },
      );
    }
  }
  const byOffset = tensors.toSorted((a, b) => a.offset - b.offset);
  for (const [index, next] of byOffset.entries()) {
    const tensor = byOffset[index - 1];
    if (tensor && tensor.offset + tensor.byteLength > next.offset) {
      cursor.fail(
        `tensors ${quoted(tensor.name)} and ${quoted(next.name)} overlap at byte ${next.offset}. The file is damaged; download or write it again.`,
        { tensor: next.name },
      );
    }
  }
}
