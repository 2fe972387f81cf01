/**
 * A GGUF file before its first weight: from the names, shapes and types alone follow the header's bytes, every
 * tensor's place and the file's size. Layout: see `format.ts`; padding as in llama.cpp `ggml/src/gguf.cpp`,
 * which pads every tensor, the last one too.
 */
import { quoted } from "../bytes/quoted.js";
import { utf8Length, utf8Of } from "../bytes/utf8.js";
import { ByteWriter } from "../bytes/writer.js";
import { UsageError } from "../errors.js";
import { rowBytes, type TypeName, traitsOf } from "../quants/types.js";
import { writeEntry, writeString } from "./encode.js";
import {
  alignmentKey,
  currentVersion,
  defaultAlignment,
  isAlignment,
  magic,
  maxDimensions,
  padTo,
} from "./format.js";
import type { Metadata, MetadataValue } from "./metadata.js";
import type { GgufTensor } from "./tensors.js";

/** A tensor to be written. */
export interface TensorToLayOut {
  readonly name: string;
  /** Row length first. */
  readonly shape: readonly number[];
  readonly type: TypeName;
}

export interface GgufPlan {
  /** Keys in the order to write them. */
  readonly metadata: Metadata;
  /** In the order to write them. */
  readonly tensors: readonly TensorToLayOut[];
  /** A power of two. Without it, what `general.alignment` says, else 32. */
  readonly alignment?: number;
}

export interface GgufLayout {
  /** The file's first bytes, up to the first tensor. */
  readonly header: Uint8Array;
  /** Every tensor with its place, counted from the start of the file. What lies between them is zero. */
  readonly tensors: readonly GgufTensor[];
  readonly alignment: number;
  /** Size of the whole file. */
  readonly byteLength: number;
}

/** Longest tensor name that llama.cpp loads, in bytes (`GGML_MAX_NAME` less its final zero). */
export const maxNameBytes = 63;

/**
 * Lays out a GGUF version 3 file. Metadata that came from a file unchanged is written byte for byte as it was.
 * An explicit alignment is recorded in `general.alignment`. Throws a UsageError if llama.cpp could not load the
 * file: duplicate or long names, shapes of no or too many dimensions, rows that do not fill whole blocks.
 */
export function planGguf(plan: GgufPlan): GgufLayout {
  const alignment = plan.alignment ?? recordedAlignment(plan.metadata);
  if (!isAlignment(alignment)) {
    throw new UsageError(`an alignment of ${alignment} is not a power of two; use 32.`, { alignment });
  }
  const metadata = withAlignment(plan.metadata, alignment);
  checkNames(plan.tensors);
  const sizes = plan.tensors.map(tensorBytes);
  const relativeOffsets: number[] = [];
  let dataBytes = 0;
  for (const size of sizes) {
    relativeOffsets.push(dataBytes);
    dataBytes += padTo(size, alignment);
  }

  const header = writeHeader(metadata, plan.tensors, relativeOffsets, alignment);
  const tensors = plan.tensors.map(({ name, shape, type }, index) => ({
    name,
    shape,
    type,
    offset: header.byteLength + (relativeOffsets[index] as number),
    byteLength: sizes[index] as number,
  }));
  return { header, tensors, alignment, byteLength: header.byteLength + dataBytes };
}

/** Bytes of a tensor's data; throws a UsageError that names it if its shape or type cannot be. */
export function tensorBytes({ name, shape, type }: TensorToLayOut): number {
  const [columns, ...outer] = shape;
  if (columns === undefined || shape.length > maxDimensions) {
    throw new UsageError(
      `tensor ${quoted(name)} has ${shape.length} dimensions; GGUF has 1 to ${maxDimensions}.`,
      {
        tensor: name,
      },
    );
  }
  if (!shape.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw new UsageError(
      `tensor ${quoted(name)} has the shape [${shape.join(", ")}]; sizes are whole and above 0.`,
      {
        tensor: name,
      },
    );
  }
  const { blockSize } = traitsOf(type);
  if (columns % blockSize !== 0) {
    throw new UsageError(
      `tensor ${quoted(name)} has rows of ${columns} weights and cannot be ${type}, whose blocks have ${blockSize}; choose a type with smaller blocks.`,
      { tensor: name, type },
    );
  }
  const bytes = outer.reduce((product, size) => product * size, rowBytes(type, columns));
  if (!Number.isSafeInteger(bytes)) {
    throw new UsageError(`tensor ${quoted(name)} of shape [${shape.join(", ")}] is larger than any file.`, {
      tensor: name,
    });
  }
  return bytes;
}

/** Bytes of a header before the padding that follows it; types have no part in it. */
export function headerLength({
  metadata,
  tensors,
  alignment = recordedAlignment(metadata),
}: GgufPlan): number {
  const offsets = tensors.map(() => 0);
  return writeEntries(withAlignment(metadata, alignment), tensors, offsets).byteLength;
}

function writeHeader(
  metadata: Metadata,
  tensors: readonly TensorToLayOut[],
  relativeOffsets: readonly number[],
  alignment: number,
): Uint8Array {
  const writer = writeEntries(metadata, tensors, relativeOffsets);
  writer.zeros(padTo(writer.byteLength, alignment) - writer.byteLength);
  return writer.finish();
}

function writeEntries(
  metadata: Metadata,
  tensors: readonly TensorToLayOut[],
  relativeOffsets: readonly number[],
): ByteWriter {
  const writer = new ByteWriter();
  writer.raw(utf8Of(magic));
  writer.uint32(currentVersion);
  writer.uint64(BigInt(tensors.length));
  writer.uint64(BigInt(metadata.size));
  for (const [key, value] of metadata) {
    writeEntry(writer, key, value);
  }
  for (const [index, { name, shape, type }] of tensors.entries()) {
    writeString(writer, name);
    writer.uint32(shape.length);
    for (const size of shape) {
      writer.uint64(BigInt(size));
    }
    writer.uint32(traitsOf(type).id);
    writer.uint64(BigInt(relativeOffsets[index] as number));
  }
  return writer;
}

/** The alignment that the metadata say. Throws a UsageError if its type is wrong. */
export function recordedAlignment(metadata: Metadata): number {
  const recorded = metadata.get(alignmentKey);
  if (recorded === undefined) {
    return defaultAlignment;
  }
  if (recorded.type !== "uint32") {
    throw new UsageError(`key "${alignmentKey}" is of type ${recorded.type}; it must be uint32.`);
  }
  return recorded.value;
}

/** The metadata with `general.alignment` saying `alignment`, unless it does already. */
function withAlignment(metadata: Metadata, alignment: number): Metadata {
  const recorded = metadata.get(alignmentKey);
  const effective = recorded === undefined ? defaultAlignment : recorded.value;
  if (effective === alignment) {
    return metadata;
  }
  const value: MetadataValue = { type: "uint32", value: alignment };
  return new Map(metadata).set(alignmentKey, value);
}

function checkNames(tensors: readonly TensorToLayOut[]): void {
  const seen = new Set<string>();
  for (const { name } of tensors) {
    if (seen.has(name)) {
      throw new UsageError(`two tensors are named ${quoted(name)}.`, { tensor: name });
    }
    seen.add(name);
    const length = utf8Length(name);
    if (length === 0 || length > maxNameBytes) {
      throw new UsageError(
        `tensor ${quoted(name)} has a name of ${length} bytes; llama.cpp loads names of 1 to ${maxNameBytes}.`,
        { tensor: name },
      );
    }
  }
}
