/** Writes metadata values in GGUF's encoding; the counterpart of `decode.ts`. */
import { quoted } from "../bytes/quoted.js";
import { utf8Of } from "../bytes/utf8.js";
import type { ByteWriter } from "../bytes/writer.js";
import { UsageError } from "../errors.js";
import { maxArrayDepth, metadataTypeIds } from "./format.js";
import type { MetadataArray, MetadataType, MetadataValue } from "./metadata.js";
import { rememberedBytes } from "./verbatim.js";

const integerRanges = {
  uint8: [0, 0xff],
  int8: [-0x80, 0x7f],
  uint16: [0, 0xffff],
  int16: [-0x8000, 0x7fff],
  uint32: [0, 0xffff_ffff],
  int32: [-0x8000_0000, 0x7fff_ffff],
} as const;

/**
 * Writes a key with its value. A value that came from a file gets the bytes it had there. Throws a UsageError
 * that names the key if a number does not fit its type or arrays are nested too deeply.
 */
export function writeEntry(writer: ByteWriter, key: string, value: MetadataValue): void {
  if (key === "") {
    throw new UsageError("a metadata key is empty; name it.");
  }
  writeString(writer, key);
  writer.uint32(metadataTypeIds[value.type]);
  const verbatim = rememberedBytes(value);
  if (verbatim) {
    writer.raw(verbatim);
  } else if (value.type === "array") {
    writeArray(writer, key, value, 1);
  } else {
    writeItem(writer, key, value.type, value.value);
  }
}

/** Writes a string: its length in bytes, then UTF-8. */
export function writeString(writer: ByteWriter, text: string): void {
  const bytes = utf8Of(text);
  writer.uint64(BigInt(bytes.byteLength));
  writer.raw(bytes);
}

function writeArray(writer: ByteWriter, key: string, array: MetadataArray, depth: number): void {
  if (depth > maxArrayDepth) {
    throw new UsageError(`key ${quoted(key)}: arrays are nested more than ${maxArrayDepth} deep.`, { key });
  }
  writer.uint32(metadataTypeIds[array.itemType]);
  writer.uint64(BigInt(array.value.length));
  if (array.itemType === "array") {
    for (const item of array.value) {
      writeArray(writer, key, item, depth + 1);
    }
  } else {
    for (const item of array.value) {
      writeItem(writer, key, array.itemType, item);
    }
  }
}

function writeItem(
  writer: ByteWriter,
  key: string,
  type: Exclude<MetadataType, "array">,
  value: number | bigint | boolean | string,
): void {
  if (type === "string") {
    writeString(writer, String(value));
  } else if (type === "bool") {
    writer.uint8(value ? 1 : 0);
  } else if (type === "uint64" || type === "int64") {
    const integer = BigInt(value);
    const wrapped = type === "uint64" ? BigInt.asUintN(64, integer) : BigInt.asIntN(64, integer);
    if (wrapped !== integer) {
      throw outOfRange(key, type, value);
    }
    writer[type](integer);
  } else {
    const number = Number(value);
    if (type !== "float32" && type !== "float64") {
      const [least, greatest] = integerRanges[type];
      if (!Number.isInteger(number) || number < least || number > greatest) {
        throw outOfRange(key, type, value);
      }
    }
    writer[type](number);
  }
}

function outOfRange(key: string, type: MetadataType, value: unknown): UsageError {
  return new UsageError(`key ${quoted(key)}: ${String(value)} does not fit the type ${type}.`, { key, type });
}
