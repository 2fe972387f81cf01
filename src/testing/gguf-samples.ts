/** GGUF files that between them have everything a header can have, for the tests of reading and writing. */
import type { Metadata, MetadataArray, MetadataValue } from "../gguf/metadata.js";
import type { TestFile } from "./gguf-file.js";

/** Every value type at its limits; no arrays of arrays, which llama.cpp does not read. */
export const everyFlatValue: Metadata = new Map<string, MetadataValue>([
  ["general.architecture", { type: "string", value: "test" }],
  ["a.uint8", { type: "uint8", value: 255 }],
  ["a.int8", { type: "int8", value: -128 }],
  ["a.uint16", { type: "uint16", value: 65535 }],
  ["a.int16", { type: "int16", value: -32768 }],
  ["a.uint32", { type: "uint32", value: 4294967295 }],
  ["a.int32", { type: "int32", value: -2147483648 }],
  ["a.uint64", { type: "uint64", value: 18446744073709551615n }],
  ["a.int64", { type: "int64", value: -9223372036854775808n }],
  ["a.float32", { type: "float32", value: Math.fround(1e-6) }],
  ["a.float64", { type: "float64", value: Number.MIN_VALUE }],
  ["a.negative.zero", { type: "float32", value: -0 }],
  ["a.infinity", { type: "float32", value: Number.NEGATIVE_INFINITY }],
  ["a.false", { type: "bool", value: false }],
  ["a.true", { type: "bool", value: true }],
  ["a.text", { type: "string", value: "Grüße, 世界 🌍\n\u0000 after a zero" }],
  ["a.empty", { type: "string", value: "" }],
  ["__proto__", { type: "string", value: "only a name" }],
  ["some.uint8", { type: "array", itemType: "uint8", value: [0, 1, 255] }],
  ["some.int8", { type: "array", itemType: "int8", value: [0, -1, 127] }],
  ["some.uint16", { type: "array", itemType: "uint16", value: [0, 65535] }],
  ["some.int16", { type: "array", itemType: "int16", value: [-32768, 32767] }],
  ["some.uint32", { type: "array", itemType: "uint32", value: [4294967295] }],
  ["some.int32", { type: "array", itemType: "int32", value: [-2147483648, 2147483647] }],
  ["some.uint64", { type: "array", itemType: "uint64", value: [0n, 18446744073709551615n] }],
  ["some.int64", { type: "array", itemType: "int64", value: [-9223372036854775808n] }],
  ["some.float32", { type: "array", itemType: "float32", value: [0.5, -0.25, 1e30].map(Math.fround) }],
  ["some.float64", { type: "array", itemType: "float64", value: [Math.PI, -1e300] }],
  ["some.bool", { type: "array", itemType: "bool", value: [true, false, true] }],
  ["some.text", { type: "array", itemType: "string", value: ["", "a", "Ġthe", "日本"] }],
  ["none", { type: "array", itemType: "string", value: [] }],
]);

const numbers: MetadataArray = { type: "array", itemType: "int32", value: [1, 2, 3] };
const words: MetadataArray = { type: "array", itemType: "string", value: ["x", "yz"] };

/** Arrays of arrays, as deep as they may be. */
export const nestedValues: Metadata = new Map<string, MetadataValue>([
  ["two.levels", { type: "array", itemType: "array", value: [numbers, words, numbers] }],
  [
    "four.levels",
    {
      type: "array",
      itemType: "array",
      value: [
        { type: "array", itemType: "array", value: [{ type: "array", itemType: "array", value: [words] }] },
      ],
    },
  ],
]);

/** Tensors of one to four dimensions and of sizes that need padding. */
export const someTensors = [
  { name: "token_embd.weight", shape: [256, 3], type: "Q6_K" },
  { name: "output_norm.weight", shape: [7], type: "F32" },
  { name: "blk.0.ffn_down_exps.weight", shape: [256, 2, 3], type: "IQ4_XS" },
  { name: "blk.0.odd.weight", shape: [3, 1, 2, 2], type: "BF16" },
  { name: "blk.0.table", shape: [5], type: "I8" },
] as const;

/** Whole files by name. */
export const sampleFiles: Readonly<Record<string, TestFile>> = {
  "every value, default alignment": { metadata: everyFlatValue, tensors: someTensors },
  "alignment 1": { metadata: everyFlatValue, tensors: someTensors, alignment: 1 },
  "alignment 8": { metadata: everyFlatValue, tensors: someTensors, alignment: 8 },
  "alignment 256": { metadata: everyFlatValue, tensors: someTensors, alignment: 256 },
  "metadata only": { metadata: everyFlatValue },
  "tensors only": { tensors: someTensors },
  nothing: {},
};
