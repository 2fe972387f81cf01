/**
 * The trait table of tensor types: the one place that knows block sizes. All size arithmetic asks it.
 * Layouts: llama.cpp `ggml/src/ggml-common.h`; numbers: `enum ggml_type` in `ggml/include/ggml.h`.
 */
import { UsageError } from "../errors.js";

export interface TypeTraits {
  /** Name as llama-quantize prints it, in capitals. */
  readonly name: TypeName;
  /** Number in GGUF files (`enum ggml_type`). */
  readonly id: number;
  /** Weights per block. A row must be a multiple of this. */
  readonly blockSize: number;
  /** Bytes per block. */
  readonly blockBytes: number;
  /** Whether weights are stored as blocks with scales. */
  readonly quantized: boolean;
  /** Whether Lopsided can decode it to float32. */
  readonly canDecode: boolean;
  /** Whether Lopsided can encode it. */
  readonly canEncode: boolean;
}

const table = {
  F32: [0, 1, 4, "decode encode"],
  F16: [1, 1, 2, "decode encode"],
  Q4_0: [2, 32, 18, "quantized decode encode"],
  Q4_1: [3, 32, 20, "quantized decode encode"],
  Q5_0: [6, 32, 22, "quantized decode encode"],
  Q5_1: [7, 32, 24, "quantized decode encode"],
  Q8_0: [8, 32, 34, "quantized decode encode"],
  Q8_1: [9, 32, 36, "quantized"],
  Q2_K: [10, 256, 84, "quantized decode encode"],
  Q3_K: [11, 256, 110, "quantized decode encode"],
  Q4_K: [12, 256, 144, "quantized decode encode"],
  Q5_K: [13, 256, 176, "quantized decode encode"],
  Q6_K: [14, 256, 210, "quantized decode encode"],
  Q8_K: [15, 256, 292, "quantized"],
  IQ2_XXS: [16, 256, 66, "quantized decode encode"],
  IQ2_XS: [17, 256, 74, "quantized decode encode"],
  IQ3_XXS: [18, 256, 98, "quantized decode encode"],
  IQ1_S: [19, 256, 50, "quantized decode"],
  IQ4_NL: [20, 32, 18, "quantized decode encode"],
  IQ3_S: [21, 256, 110, "quantized decode encode"],
  IQ2_S: [22, 256, 82, "quantized decode encode"],
  IQ4_XS: [23, 256, 136, "quantized decode encode"],
  I8: [24, 1, 1, ""],
  I16: [25, 1, 2, ""],
  I32: [26, 1, 4, ""],
  I64: [27, 1, 8, ""],
  F64: [28, 1, 8, ""],
  IQ1_M: [29, 256, 56, "quantized decode"],
  BF16: [30, 1, 2, "decode encode"],
  TQ1_0: [34, 256, 54, "quantized decode"],
  TQ2_0: [35, 256, 66, "quantized decode"],
  MXFP4: [39, 32, 17, "quantized decode"],
  NVFP4: [40, 64, 36, "quantized"],
  Q1_0: [41, 128, 18, "quantized"],
  Q2_0: [42, 64, 18, "quantized"],
} as const satisfies Record<
  string,
  readonly [id: number, blockSize: number, blockBytes: number, can: string]
>;

export type TypeName = keyof typeof table;

/** All tensor types by name. */
export const types: ReadonlyMap<TypeName, TypeTraits> = new Map(
  (Object.keys(table) as TypeName[]).map((name) => {
    const [id, blockSize, blockBytes, can] = table[name];
    const words = (can as string).split(" ");
    const traits: TypeTraits = {
      name,
      id,
      blockSize,
      blockBytes,
      quantized: words.includes("quantized"),
      canDecode: words.includes("decode"),
      canEncode: words.includes("encode"),
    };
    return [name, traits];
  }),
);

const byId: ReadonlyMap<number, TypeTraits> = new Map(
  [...types.values()].map((traits) => [traits.id, traits]),
);

/** Traits of a type. */
export function traitsOf(name: TypeName): TypeTraits {
  return types.get(name) as TypeTraits;
}

/** Traits of the type with this GGUF number, or undefined if there is none. */
export function traitsOfId(id: number): TypeTraits | undefined {
  return byId.get(id);
}

/** Reads a type's name in any case (`q4_k`, `Q4_K`); throws a UsageError that lists the names. */
export function parseTypeName(text: string): TypeName {
  const name = text.toUpperCase();
  if (types.has(name as TypeName)) {
    return name as TypeName;
  }
  throw new UsageError(`"${text}" is not a tensor type; use one of ${[...types.keys()].join(", ")}.`, {
    type: text,
  });
}

/** Bytes of a row of `columns` weights; throws a UsageError if the row does not fill whole blocks. */
export function rowBytes(type: TypeName, columns: number): number {
  const { blockSize, blockBytes } = traitsOf(type);
  if (columns % blockSize !== 0) {
    throw new UsageError(
      `a row of ${columns} weights cannot be ${type}: it is not a multiple of ${blockSize}.`,
      {
        type,
        columns,
      },
    );
  }
  return (columns / blockSize) * blockBytes;
}

/** Average bits per weight of a type. */
export function bitsPerWeight(type: TypeName): number {
  const { blockSize, blockBytes } = traitsOf(type);
  return (8 * blockBytes) / blockSize;
}
