/** Reads metadata values in GGUF's encoding; the counterpart of `encode.ts`. */
import type { HeaderCursor } from "./cursor.js";
import { maxArrayDepth } from "./format.js";
import { type MetadataArray, type MetadataType, type MetadataValue, metadataTypes } from "./metadata.js";

/** Fewest bytes that an item of a type takes. */
const leastBytes: Readonly<Record<MetadataType, number>> = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  bool: 1,
  string: 8,
  array: 12,
  uint64: 8,
  int64: 8,
  float64: 8,
};

/** Most items of an array: eight times the longest in real models, merges of a vocabulary of 262 144 tokens. */
const mostItems = 2 ** 22;

/** Reads the number of a value type. */
export function readMetadataType(cursor: HeaderCursor): MetadataType {
  const id = cursor.uint32();
  const type = metadataTypes[id];
  if (type === undefined) {
    cursor.fail(
      `${cursor.subject} has a value of type number ${id}; types 0 to ${metadataTypes.length - 1} are known. The file is damaged; download or write it again.`,
    );
  }
  return type;
}

/** Reads a value of a type; the cursor's subject names its key. */
export function readMetadataValue(cursor: HeaderCursor, type: MetadataType): MetadataValue {
  if (type === "array") {
    return readArray(cursor, 1);
  }
  return { type, value: readItem(cursor, type) } as MetadataValue;
}

function readArray(cursor: HeaderCursor, depth: number): MetadataArray {
  if (depth > maxArrayDepth) {
    cursor.fail(
      `${cursor.subject} nests arrays more than ${maxArrayDepth} deep. The file is damaged; download or write it again.`,
    );
  }
  const itemType = readMetadataType(cursor);
  const count = cursor.count(leastBytes[itemType], `items of type ${itemType}`, mostItems);
  cursor.expect(count * leastBytes[itemType]);
  const value = new Array<unknown>(count);
  if (itemType === "array") {
    for (let i = 0; i < count; i++) {
      value[i] = readArray(cursor, depth + 1);
    }
  } else {
    for (let i = 0; i < count; i++) {
      value[i] = readItem(cursor, itemType);
    }
  }
  return { type: "array", itemType, value } as MetadataArray;
}

function readItem(
  cursor: HeaderCursor,
  type: Exclude<MetadataType, "array">,
): number | bigint | boolean | string {
  return type === "bool" ? cursor.uint8() !== 0 : cursor[type]();
}
