/**
 * Strict reader of GGUF headers, versions 2 and 3. A header is hostile input: nothing it says is used before it
 * is checked against the file. Layout: see `format.ts`.
 */
import { quoted } from "../bytes/quoted.js";
import type { ByteSource } from "../bytes/source.js";
import { HeaderCursor } from "./cursor.js";
import { readMetadataType, readMetadataValue } from "./decode.js";
import { alignmentKey, defaultAlignment, isAlignment, magic, padTo } from "./format.js";
import type { Metadata, MetadataValue } from "./metadata.js";
import { describeNotGguf } from "./not-gguf.js";
import { checkPlaces, type GgufTensor, leastTensorBytes, readName, readTensor } from "./tensors.js";
import { rememberBytes } from "./verbatim.js";

export type { GgufTensor } from "./tensors.js";

export interface GgufHeader {
  readonly version: 2 | 3;
  /** Keys in file order. */
  readonly metadata: Metadata;
  /** In file order, which need not be the order of their offsets. */
  readonly tensors: readonly GgufTensor[];
  readonly alignment: number;
  /** Where the tensors' data begins, from the beginning of the file. */
  readonly dataOffset: number;
}

/** Fewest bytes of a key: its length, one character, the value type, one byte of value. */
const leastEntryBytes = 14;

/** Most keys read: real files have under a hundred, and each takes ten times its bytes in memory. */
const mostEntries = 2 ** 16;

/** Most tensors read: one model with 61 layers of 256 experts in tensors of their own has 47 thousand. */
const mostTensors = 2 ** 18;

/**
 * Reads and checks a header, with a few reads that stay near it. Throws a MalformedInputError that names the
 * file and the key or tensor: not GGUF, an unknown version, a count or length beyond the end of the file,
 * duplicate or empty names, impossible shapes and types, tensors that overlap or lie outside the file; of the
 * beginning of a file (`isHeaderOnly`) the tensors may lie outside.
 */
export async function readGgufHeader(
  source: ByteSource,
  { isHeaderOnly = false }: { readonly isHeaderOnly?: boolean } = {},
): Promise<GgufHeader> {
  const cursor = new HeaderCursor(source);
  const { version, tensorCount, entryCount } = await readCounts(cursor, source.byteLength);
  const metadata = await readMetadata(cursor, entryCount);
  const alignment = readAlignment(cursor, metadata);

  const infos = new Map<string, GgufTensor>();
  for (let i = 0; i < tensorCount; i++) {
    cursor.subject = `tensor ${i + 1} of ${tensorCount}`;
    const tensor = await cursor.record(() => readTensor(cursor));
    if (infos.has(tensor.name)) {
      cursor.fail(`two tensors are named ${quoted(tensor.name)}. The file is damaged; write it again.`, {
        tensor: tensor.name,
      });
    }
    infos.set(tensor.name, tensor);
  }

  const dataOffset = padTo(cursor.position, alignment);
  const tensors = [...infos.values()].map((tensor) => ({ ...tensor, offset: dataOffset + tensor.offset }));
  const fileLength = isHeaderOnly ? Infinity : source.byteLength;
  checkPlaces(cursor, tensors, { dataOffset, alignment, fileLength });
  return { version, metadata, tensors, alignment, dataOffset };
}

async function readCounts(cursor: HeaderCursor, fileLength: number) {
  if (fileLength === 0) {
    cursor.fail("is empty: it has 0 bytes. The download or copy failed; do it again.");
  }
  const start = await cursor.peek(512);
  if (!String.fromCharCode(...start.subarray(0, magic.length)).startsWith(magic)) {
    cursor.fail(describeNotGguf(start));
  }
  return await cursor.record(() => {
    cursor.position = magic.length;
    const version = cursor.uint32();
    checkVersion(cursor, version);
    const tensorCount = cursor.count(leastTensorBytes, "tensors", mostTensors);
    const entryCount = cursor.count(leastEntryBytes, "keys", mostEntries);
    return { version, tensorCount, entryCount };
  });
}

function checkVersion(cursor: HeaderCursor, version: number): asserts version is 2 | 3 {
  if (version === 2 || version === 3) {
    return;
  }
  if (version === 1) {
    cursor.fail(
      "is GGUF version 1, which llama.cpp no longer reads either. Download a newer file or convert the original model again.",
      { version },
    );
  }
  // Read in the wrong byte order, a small version number has its bits in the upper half.
  if (version !== 0 && version % 2 ** 16 === 0) {
    cursor.fail(
      "is a big-endian GGUF file, made for machines such as IBM Z. Download the little-endian file, or convert it with llama.cpp's gguf_convert_endian.py.",
      { version },
    );
  }
  cursor.fail(`is GGUF version ${version}; Lopsided reads versions 2 and 3.`, { version });
}

async function readMetadata(cursor: HeaderCursor, count: number): Promise<Metadata> {
  const metadata = new Map<string, MetadataValue>();
  const spans: { value: MetadataValue; start: number; end: number }[] = [];
  for (let i = 0; i < count; i++) {
    cursor.subject = `key ${i + 1} of ${count}`;
    const key = await cursor.record(() => readName(cursor));
    if (metadata.has(key)) {
      cursor.fail(`two keys are named ${quoted(key)}. The file is damaged; write it again.`, { key });
    }
    cursor.subject = `key ${quoted(key)}`;
    const type = await cursor.record(() => readMetadataType(cursor));
    const start = cursor.position;
    const value = await cursor.record(() => readMetadataValue(cursor, type));
    metadata.set(key, value);
    spans.push({ value, start, end: cursor.position });
  }
  const header = cursor.consumed();
  for (const { value, start, end } of spans) {
    rememberBytes(value, header.subarray(start, end));
  }
  return metadata;
}

function readAlignment(cursor: HeaderCursor, metadata: Metadata): number {
  const entry = metadata.get(alignmentKey);
  if (entry === undefined) {
    return defaultAlignment;
  }
  if (entry.type !== "uint32") {
    cursor.fail(`key "${alignmentKey}" is of type ${entry.type}; it must be uint32. Write the file again.`, {
      key: alignmentKey,
    });
  }
  if (!isAlignment(entry.value)) {
    cursor.fail(`key "${alignmentKey}" is ${entry.value}; it must be a power of two. Write the file again.`, {
      key: alignmentKey,
    });
  }
  return entry.value;
}
