/** Small valid GGUF files for tests, filled with random weights that llama.cpp's library encoded. */
import { writeFile } from "node:fs/promises";
import { planGguf } from "../gguf/layout.js";
import type { Metadata, MetadataValue } from "../gguf/metadata.js";
import { type TypeName, traitsOf } from "../quants/types.js";
import { ggmlEncode } from "./ggml.js";
import { fill, gaussian, uniform } from "./random.js";

export interface TestTensor {
  readonly name: string;
  /** Row length first. */
  readonly shape: readonly number[];
  readonly type: TypeName;
  /** The tensor's bytes; random weights without it. */
  readonly data?: Uint8Array;
}

/** A value whose type is guessed: whole numbers are uint32, others float32, lists have one type of items. */
export type PlainValue = string | number | boolean | readonly string[] | readonly number[] | MetadataValue;

export interface TestFile {
  /** A map, or an object of plain values. */
  readonly metadata?: Metadata | Readonly<Record<string, PlainValue>>;
  readonly tensors?: readonly TestTensor[];
  readonly alignment?: number;
  /** The same seed gives the same weights. */
  readonly seed?: number;
}

/** The bytes of a GGUF file. */
export function ggufBytes({ metadata = {}, tensors = [], alignment, seed = 1 }: TestFile): Uint8Array {
  const entries = metadata instanceof Map ? metadata : plainMetadata(metadata as Record<string, PlainValue>);
  const layout = planGguf({ metadata: entries, tensors, ...(alignment && { alignment }) });
  const file = new Uint8Array(layout.byteLength);
  file.set(layout.header);
  for (const [index, { offset, byteLength }] of layout.tensors.entries()) {
    const tensor = tensors[index]!;
    const data = tensor.data ?? randomData(tensor.type, tensor.shape, seed + index);
    if (data.byteLength !== byteLength) {
      throw new RangeError(`${tensor.name} needs ${byteLength} bytes of data, not ${data.byteLength}`);
    }
    file.set(data, offset);
  }
  return file;
}

/** Writes a GGUF file and returns its path. */
export async function writeGgufFile(path: string, file: TestFile): Promise<string> {
  await writeFile(path, ggufBytes(file));
  return path;
}

/** Metadata from plain values, in the object's order. */
export function plainMetadata(values: Readonly<Record<string, PlainValue>>): Metadata {
  return new Map(Object.entries(values).map(([key, value]) => [key, typedValue(value)]));
}

function typedValue(value: PlainValue): MetadataValue {
  if (typeof value === "string") {
    return { type: "string", value };
  }
  if (typeof value === "boolean") {
    return { type: "bool", value };
  }
  if (typeof value === "number") {
    return { type: Number.isInteger(value) ? "uint32" : "float32", value };
  }
  if ("type" in value) {
    return value;
  }
  if (value.every((item) => typeof item === "string")) {
    return { type: "array", itemType: "string", value };
  }
  const itemType = value.every((item) => Number.isInteger(item)) ? "int32" : "float32";
  return { type: "array", itemType, value: value as readonly number[] };
}

/** Standard normal weights, times 0.02, in any type that llama.cpp can encode; other types get random bytes. */
export function randomData(type: TypeName, shape: readonly number[], seed: number): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const { quantized, blockSize, blockBytes } = traitsOf(type);
  const isFloat = ["F32", "F16", "BF16"].includes(type);
  if ((quantized && type !== "Q8_1" && type !== "Q8_K") || isFloat) {
    const next = gaussian(seed);
    const columns = shape[0]!;
    const importance = isFloat ? undefined : new Float32Array(columns).fill(1);
    return ggmlEncode(
      type,
      fill(count, () => 0.02 * next()),
      columns,
      importance,
    );
  }
  const next = uniform(seed);
  return Uint8Array.from({ length: (count / blockSize) * blockBytes }, () => Math.floor(256 * next()));
}
