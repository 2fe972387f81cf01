/**
 * Header of a safetensors file: 8 bytes little-endian header length, that many bytes of JSON (tensor name ->
 * dtype, shape, span), then the data. The rules are those of the format's own library, which refuses gaps and
 * overlaps too: https://github.com/huggingface/safetensors#format
 */
import {
  decodeUtf8,
  isJsonArray,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  parseJson,
} from "../bytes/json.js";
import type { ByteSource } from "../bytes/source.js";
import { checkRange } from "../bytes/source-range.js";
import { MalformedInputError } from "../errors.js";

/** Bits per value of every dtype of the format. */
const dtypeBits: ReadonlyMap<string, number> = new Map([
  ["BOOL", 8],
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["U8", 8],
  ["I8", 8],
  ["F8_E5M2", 8],
  ["F8_E4M3", 8],
  ["F8_E8M0", 8],
  ["I16", 16],
  ["U16", 16],
  ["F16", 16],
  ["BF16", 16],
  ["I32", 32],
  ["U32", 32],
  ["F32", 32],
  ["C64", 64],
  ["F64", 64],
  ["I64", 64],
  ["U64", 64],
]);

/** Limit of the format's own library, far above the few megabytes that a file of 100 000 tensors needs. */
const maxHeaderBytes = 100_000_000;

export interface SafetensorsTensor {
  /** The file it lies in. */
  readonly source: ByteSource;
  readonly name: string;
  readonly dtype: string;
  /** Outermost dimension first (the other way round than GGUF). */
  readonly shape: readonly number[];
  /** Place of its first byte in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  /** The free text entries under `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

/**
 * Reads and checks the header of a safetensors file; the data is not touched. Throws a MalformedInputError
 * unless the header is sound and its tensors fill the rest of the file exactly, without overlap or gap.
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const headerBytes = await readHeaderLength(source);
  const text = decodeUtf8(await source.read(8, headerBytes), `${source.name} (header)`);
  if (!text.startsWith("{")) {
    malformed(source, `the header does not begin with "{"; this is no safetensors file`);
  }
  const json = parseJson(text, `${source.name} (header)`) as JsonObject;
  const tensors = [...json]
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => readTensor(source, 8 + headerBytes, name, entry))
    .sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  checkSpans(source, 8 + headerBytes, tensors);
  return {
    metadata: readMetadata(source, json.get("__metadata__")),
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
  };
}

async function readHeaderLength(source: ByteSource): Promise<number> {
  checkRange(source, 0, 8);
  const start = await source.read(0, 8);
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (length < 2n || length > BigInt(maxHeaderBytes)) {
    malformed(
      source,
      `the header claims ${length} bytes, but 2 to ${maxHeaderBytes} are possible; this is no safetensors file`,
    );
  }
  if (Number(length) > source.byteLength - 8) {
    malformed(
      source,
      `the header claims ${length} bytes but the file has only ${source.byteLength}. The file is truncated; download it again`,
    );
  }
  return Number(length);
}

function readTensor(
  source: ByteSource,
  dataOffset: number,
  name: string,
  entry: JsonValue,
): SafetensorsTensor {
  const where = `tensor "${name}"`;
  if (!isJsonObject(entry)) {
    malformed(source, `${where} has no description`);
  }
  const dtype = entry.get("dtype");
  const bits = typeof dtype === "string" ? dtypeBits.get(dtype) : undefined;
  if (typeof dtype !== "string" || bits === undefined) {
    malformed(source, `${where} has the unknown dtype ${JSON.stringify(dtype ?? null)}`);
  }
  const shape = readSizes(entry.get("shape"));
  if (shape === undefined) {
    malformed(source, `the shape of ${where} is not a list of whole numbers`);
  }
  const span = readSizes(entry.get("data_offsets"));
  const [begin, end] = span ?? [];
  if (span?.length !== 2 || begin === undefined || end === undefined || begin > end) {
    malformed(source, `data_offsets of ${where} are not a begin and an end`);
  }
  const expected = (shape.reduce((product, size) => product * size, 1) * bits) / 8;
  if (!Number.isSafeInteger(expected) || expected !== end - begin) {
    malformed(
      source,
      `${where} of ${dtype} [${shape.join(", ")}] needs ${expected} bytes but its span has ${end - begin}`,
    );
  }
  return { source, name, dtype, shape, offset: dataOffset + begin, byteLength: end - begin };
}

/** Whole numbers from 0 on, each exact in float64; undefined if the value is anything else. */
function readSizes(value: JsonValue | undefined): readonly number[] | undefined {
  if (!isJsonArray(value)) {
    return undefined;
  }
  const sizes = value.filter((item): item is number => Number.isSafeInteger(item) && Number(item) >= 0);
  return sizes.length === value.length ? sizes : undefined;
}

/** Checks that the tensors, sorted by place, follow one another to the file's last byte. */
function checkSpans(source: ByteSource, dataOffset: number, tensors: readonly SafetensorsTensor[]): void {
  let end = dataOffset;
  let previous = "the header";
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== end) {
      const relation = offset < end ? "overlaps" : "leaves a gap after";
      malformed(
        source,
        `tensor "${name}" at byte ${offset} ${relation} ${previous}, which ends at byte ${end}`,
      );
    }
    end = offset + byteLength;
    previous = `tensor "${name}"`;
    if (end > source.byteLength) {
      malformed(
        source,
        `tensor "${name}" ends at byte ${end} but the file has ${source.byteLength} bytes. The file is truncated; download it again`,
      );
    }
  }
  if (end !== source.byteLength) {
    malformed(source, `the tensors end at byte ${end} but the file has ${source.byteLength} bytes`);
  }
}

function readMetadata(source: ByteSource, value: JsonValue | undefined): ReadonlyMap<string, string> {
  if (value === undefined) {
    return new Map();
  }
  if (!isJsonObject(value)) {
    malformed(source, "__metadata__ is not an object");
  }
  const entries = new Map<string, string>();
  for (const [key, text] of value) {
    if (typeof text !== "string") {
      malformed(source, `__metadata__ entry "${key}" is not a string`);
    }
    entries.set(key, text);
  }
  return entries;
}

function malformed(source: ByteSource, problem: string): never {
  throw new MalformedInputError(`${source.name}: ${problem}.`, { file: source.name });
}
