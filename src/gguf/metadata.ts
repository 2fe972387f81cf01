/**
 * Values in a GGUF header: each keeps the type it is stored with, so that it can be written back unchanged.
 * Layout: `enum gguf_type` in llama.cpp `ggml/include/gguf.h`.
 */

/** Names of GGUF's value types, in the order of their numbers 0-12. */
export const metadataTypes = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "float32",
  "bool",
  "string",
  "array",
  "uint64",
  "int64",
  "float64",
] as const;

export type MetadataType = (typeof metadataTypes)[number];
export type SmallNumberType =
  | "uint8"
  | "int8"
  | "uint16"
  | "int16"
  | "uint32"
  | "int32"
  | "float32"
  | "float64";

/** One typed value. 64-bit integers are bigint; arrays hold plain values, nested arrays hold array values. */
export type MetadataValue =
  | { readonly type: SmallNumberType; readonly value: number }
  | { readonly type: "uint64" | "int64"; readonly value: bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | MetadataArray;

export type MetadataArray = { readonly type: "array" } & (
  | { readonly itemType: SmallNumberType; readonly value: readonly number[] }
  | { readonly itemType: "uint64" | "int64"; readonly value: readonly bigint[] }
  | { readonly itemType: "bool"; readonly value: readonly boolean[] }
  | { readonly itemType: "string"; readonly value: readonly string[] }
  | { readonly itemType: "array"; readonly value: readonly MetadataArray[] }
);

/** Keys in file order. */
export type Metadata = ReadonlyMap<string, MetadataValue>;

/** A whole number of any integer type, or undefined if the key is absent or not a number. */
export function metadataNumber(metadata: Metadata, key: string): number | undefined {
  const entry = metadata.get(key);
  if (entry === undefined) {
    return undefined;
  }
  if (typeof entry.value === "number") {
    return entry.value;
  }
  if (typeof entry.value === "bigint") {
    return Number(entry.value);
  }
  return undefined;
}

/** A string, or undefined if the key is absent or of another type. */
export function metadataString(metadata: Metadata, key: string): string | undefined {
  const entry = metadata.get(key);
  return entry?.type === "string" ? entry.value : undefined;
}
