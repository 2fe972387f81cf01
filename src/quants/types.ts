/**
 * The trait table of tensor types: a type is one row, and what a program wants to know of a type it asks here.
 * Layouts: llama.cpp `ggml/src/ggml-common.h`; numbers: `enum ggml_type` in `ggml/include/ggml.h`. The functions that
 * decode and encode are in `codec.ts`, which has the families' files.
 */
import { UsageError } from "../errors.js";

/** Where llama.cpp computes. */
export const backends = ["cuda", "metal", "vulkan", "cpu"] as const;

export type Backend = (typeof backends)[number];

/** A row of the table. */
interface Row {
  /** Number in GGUF files (`enum ggml_type`). */
  readonly id: number;
  /** Weights per block. A row of a tensor must be a multiple of this. */
  readonly blockSize: number;
  /** Bytes per block. */
  readonly blockBytes: number;
  /** Whether weights are stored as blocks with scales. */
  readonly quantized?: boolean;
  /** What Lopsided can do with it: decode to float32, or encode as well. */
  readonly codec?: "decode" | "both";
  /**
   * Whether it comes out as garbage without importance (`tensor_requires_imatrix` in llama.cpp
   * `src/llama-quant.cpp`): `needed` even for embedding and output, since the encoder cannot work without
   * (`ggml_quantize_requires_imatrix` in `ggml/src/ggml.c`).
   */
  readonly importance?: "needed" | "needed in layers";
  /** The nearest type with blocks of 32, for rows that fill no whole blocks (`tensor_type_fallback` there). */
  readonly fallback?: string;
  /**
   * Backends on which it is fast both for prompts and for tokens, since matrix products are computed in integers or
   * rearranged for them. Sources in llama.cpp v0.5.0: `ggml_cuda_should_use_mmq` in `ggml-cuda/mmq.cu`,
   * `ggml-metal/kernels/mul_mm.metal`, the Q8_1 products in `ggml-vulkan/ggml-vulkan.cpp`, and
   * `ggml_repack_get_optimal_repack_type` in `ggml-cpu/repack.cpp`.
   */
  readonly fast?: readonly Backend[];
  /**
   * Squared error relative to the weights' own squares, of normally distributed weights under log-normal importance, as
   * our encoders leave it (`types.test.ts` measures it again).
   */
  readonly typicalError?: number;
  /** How Hugging Face calls a file that is mostly of this type, where it is not by the type's name. */
  readonly label?: string;
}

const everywhere: readonly Backend[] = backends;
const onGpus: readonly Backend[] = ["cuda", "metal", "vulkan"];
const onCudaAndMetal: readonly Backend[] = ["cuda", "metal"];
const onCuda: readonly Backend[] = ["cuda"];
const onMetal: readonly Backend[] = ["metal"];
const onCudaMetalAndCpu: readonly Backend[] = ["cuda", "metal", "cpu"];

const table = {
  F32: { id: 0, blockSize: 1, blockBytes: 4, codec: "both", fast: everywhere },
  F16: { id: 1, blockSize: 1, blockBytes: 2, codec: "both", fast: everywhere, typicalError: 4.3e-8 },
  Q4_0: {
    id: 2,
    blockSize: 32,
    blockBytes: 18,
    quantized: true,
    codec: "both",
    fast: everywhere,
    typicalError: 0.0059,
  },
  Q4_1: {
    id: 3,
    blockSize: 32,
    blockBytes: 20,
    quantized: true,
    codec: "both",
    fast: onGpus,
    typicalError: 0.004,
  },
  Q5_0: {
    id: 6,
    blockSize: 32,
    blockBytes: 22,
    quantized: true,
    codec: "both",
    fast: onGpus,
    typicalError: 0.0014,
  },
  Q5_1: {
    id: 7,
    blockSize: 32,
    blockBytes: 24,
    quantized: true,
    codec: "both",
    fast: onGpus,
    typicalError: 9.3e-4,
  },
  Q8_0: {
    id: 8,
    blockSize: 32,
    blockBytes: 34,
    quantized: true,
    codec: "both",
    fast: everywhere,
    typicalError: 2.9e-5,
  },
  Q8_1: { id: 9, blockSize: 32, blockBytes: 36, quantized: true },
  Q2_K: {
    id: 10,
    blockSize: 256,
    blockBytes: 84,
    quantized: true,
    codec: "both",
    fallback: "Q4_0",
    fast: everywhere,
    typicalError: 0.0547,
  },
  Q3_K: {
    id: 11,
    blockSize: 256,
    blockBytes: 110,
    quantized: true,
    codec: "both",
    fallback: "Q4_0",
    fast: onGpus,
    typicalError: 0.018,
    label: "Q3_K_S",
  },
  Q4_K: {
    id: 12,
    blockSize: 256,
    blockBytes: 144,
    quantized: true,
    codec: "both",
    fallback: "Q5_0",
    fast: everywhere,
    typicalError: 0.0041,
    label: "Q4_K_S",
  },
  Q5_K: {
    id: 13,
    blockSize: 256,
    blockBytes: 176,
    quantized: true,
    codec: "both",
    fallback: "Q5_1",
    fast: everywhere,
    typicalError: 0.001,
    label: "Q5_K_S",
  },
  Q6_K: {
    id: 14,
    blockSize: 256,
    blockBytes: 210,
    quantized: true,
    codec: "both",
    fallback: "Q8_0",
    fast: everywhere,
    typicalError: 2.3e-4,
  },
  Q8_K: { id: 15, blockSize: 256, blockBytes: 292, quantized: true },
  IQ2_XXS: {
    id: 16,
    blockSize: 256,
    blockBytes: 66,
    quantized: true,
    codec: "both",
    importance: "needed",
    fallback: "IQ4_NL",
    fast: onCudaAndMetal,
    typicalError: 0.0824,
  },
  IQ2_XS: {
    id: 17,
    blockSize: 256,
    blockBytes: 74,
    quantized: true,
    codec: "both",
    importance: "needed",
    fallback: "IQ4_NL",
    fast: onCudaAndMetal,
    typicalError: 0.0613,
  },
  IQ3_XXS: {
    id: 18,
    blockSize: 256,
    blockBytes: 98,
    quantized: true,
    codec: "both",
    importance: "needed in layers",
    fallback: "IQ4_NL",
    fast: onCudaAndMetal,
    typicalError: 0.0219,
  },
  IQ1_S: {
    id: 19,
    blockSize: 256,
    blockBytes: 50,
    quantized: true,
    codec: "both",
    importance: "needed",
    fallback: "IQ4_NL",
    fast: onCudaAndMetal,
    typicalError: 0.186,
  },
  IQ4_NL: {
    id: 20,
    blockSize: 32,
    blockBytes: 18,
    quantized: true,
    codec: "both",
    fast: onCudaMetalAndCpu,
    typicalError: 0.0047,
  },
  IQ3_S: {
    id: 21,
    blockSize: 256,
    blockBytes: 110,
    quantized: true,
    codec: "both",
    fallback: "IQ4_NL",
    fast: onCudaAndMetal,
    typicalError: 0.0124,
  },
  IQ2_S: {
    id: 22,
    blockSize: 256,
    blockBytes: 82,
    quantized: true,
    codec: "both",
    importance: "needed in layers",
    fallback: "IQ4_NL",
    fast: onCudaAndMetal,
    typicalError: 0.0469,
  },
  IQ4_XS: {
    id: 23,
    blockSize: 256,
    blockBytes: 136,
    quantized: true,
    codec: "both",
    fallback: "IQ4_NL",
    fast: onCudaAndMetal,
    typicalError: 0.0048,
  },
  I8: { id: 24, blockSize: 1, blockBytes: 1 },
  I16: { id: 25, blockSize: 1, blockBytes: 2 },
  I32: { id: 26, blockSize: 1, blockBytes: 4 },
  I64: { id: 27, blockSize: 1, blockBytes: 8 },
  F64: { id: 28, blockSize: 1, blockBytes: 8 },
  IQ1_M: {
    id: 29,
    blockSize: 256,
    blockBytes: 56,
    quantized: true,
    codec: "both",
    importance: "needed in layers",
    fallback: "IQ4_NL",
    fast: onMetal,
    typicalError: 0.143,
  },
  BF16: { id: 30, blockSize: 1, blockBytes: 2, codec: "both", fast: everywhere, typicalError: 2.8e-6 },
  TQ1_0: {
    id: 34,
    blockSize: 256,
    blockBytes: 54,
    quantized: true,
    codec: "both",
    fallback: "Q4_0",
    typicalError: 0.241,
  },
  TQ2_0: {
    id: 35,
    blockSize: 256,
    blockBytes: 66,
    quantized: true,
    codec: "both",
    fallback: "Q4_0",
    typicalError: 0.241,
  },
  MXFP4: {
    id: 39,
    blockSize: 32,
    blockBytes: 17,
    quantized: true,
    codec: "both",
    fast: onCudaAndMetal,
    typicalError: 0.013,
  },
  NVFP4: {
    id: 40,
    blockSize: 64,
    blockBytes: 36,
    quantized: true,
    codec: "both",
    fast: onCuda,
    typicalError: 0.006,
  },
  Q1_0: { id: 41, blockSize: 128, blockBytes: 18, quantized: true },
  Q2_0: { id: 42, blockSize: 64, blockBytes: 18, quantized: true, fallback: "Q4_0" },
} as const satisfies Record<string, Row>;

export type TypeName = keyof typeof table;

export interface TypeTraits {
  /** Name as llama-quantize prints it, in capitals. */
  readonly name: TypeName;
  readonly id: number;
  readonly blockSize: number;
  readonly blockBytes: number;
  readonly quantized: boolean;
  readonly canDecode: boolean;
  readonly canEncode: boolean;
  readonly importance: "needed" | "needed in layers" | undefined;
  readonly fallback: TypeName | undefined;
  readonly fast: readonly Backend[];
  readonly typicalError: number | undefined;
  readonly label: string;
}

/** All tensor types by name. */
export const types: ReadonlyMap<TypeName, TypeTraits> = new Map(
  (Object.keys(table) as TypeName[]).map((name) => {
    const row: Row = table[name];
    const traits: TypeTraits = {
      name,
      id: row.id,
      blockSize: row.blockSize,
      blockBytes: row.blockBytes,
      quantized: row.quantized ?? false,
      canDecode: row.codec !== undefined,
      canEncode: row.codec === "both",
      importance: row.importance,
      fallback: row.fallback as TypeName | undefined,
      fast: row.fast ?? [],
      typicalError: row.typicalError,
      label: row.label ?? name,
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

/** Whether something is a type's name as GGUF files and our own have it. */
export function isTypeName(name: unknown): name is TypeName {
  return types.has(name as TypeName);
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

/** Whether a backend has fast kernels for a type. */
export function isFastOn(backend: Backend, type: TypeName): boolean {
  return traitsOf(type).fast.includes(backend);
}

/** What a type usually costs, for when the weights themselves are not at hand: a row's `typicalError`, or 4^-bits. */
export function typicalError(type: TypeName): number {
  return traitsOf(type).typicalError ?? 4 ** -(bitsPerWeight(type) - 0.5);
}
