/**
 * From the tensors of the files to those of the model: packed weights and their scales, which are tensors of their
 * own in the files, become one tensor each. What a tensor is shows in its name, its dtype and its companions.
 */
import type { SafetensorsTensor } from "../../../safetensors/header.js";
import type { RecentMatrices } from "../transformations/transpose.js";
import { mxfp4Tensor, nvfp4Tensor } from "./four-bit-floats.js";
import { fp8Tensor, isFp8 } from "./fp8.js";
import { packedIntegers } from "./packed-integers.js";
import { plainTensor } from "./plain.js";
import type { Quantization } from "./quantization.js";
import { ScaleReader } from "./scales.js";
import { failTensor, type StoredTensor } from "./stored-tensor.js";
import { transposedIntegers } from "./transposed-integers.js";

/** Companions that say nothing about the weights: scales of inputs and of the cache, shapes. */
const withoutMeaning =
  /(\.(input|activation|k|v|q|output)_scale|_activation_scale|\.input_global_scale|\.qscale_act|\.weight_shape)$/;

/** What reading packed tensors needs. */
interface Context {
  readonly files: ReadonlyMap<string, SafetensorsTensor>;
  readonly quantization: Quantization;
  readonly scales: ScaleReader;
  readonly recent: RecentMatrices;
  /** Names that are part of another tensor. */
  readonly companions: Set<string>;
}

/**
 * The tensors of a model by their name, in the order of the files. Throws a MalformedInputError that names file and
 * tensor if a scale is missing or of another shape than its weights ask for, or a dtype cannot be read.
 */
export function storedTensors(
  files: ReadonlyMap<string, SafetensorsTensor>,
  quantization: Quantization,
  recent: RecentMatrices,
): readonly StoredTensor[] {
  const context = { files, quantization, recent, scales: new ScaleReader(), companions: new Set<string>() };
  const stored = new Map<SafetensorsTensor, StoredTensor>();
  for (const tensor of files.values()) {
    const packed = packedTensor(tensor, context);
    if (packed) {
      stored.set(tensor, packed);
    }
  }
  const tensors: StoredTensor[] = [];
  for (const tensor of files.values()) {
    if (context.companions.has(tensor.name) || withoutMeaning.test(tensor.name)) {
      continue;
    }
    tensors.push(stored.get(tensor) ?? plainOrFail(tensor));
  }
  return tensors;
}

function plainOrFail(tensor: SafetensorsTensor): StoredTensor {
  const { name, dtype } = tensor;
  if (isFp8(dtype)) {
    return failTensor(
      tensor,
      `is FP8 without a scale; "${name}_scale_inv", "${name}_scale" or "${name.replace(/weight$/, "scale")}" is expected, so check that all files are downloaded`,
    );
  }
  const plain = plainTensor(tensor);
  if (plain) {
    return plain;
  }
  return failTensor(
    tensor,
    `has dtype ${dtype}, which can be read only with the scales of a known format beside it`,
  );
}

/** The tensor that `tensor` is the main part of, with its companions taken; undefined if it is not packed. */
function packedTensor(tensor: SafetensorsTensor, context: Context): StoredTensor | undefined {
  const { name, dtype } = tensor;
  if (name.endsWith("_blocks")) {
    return mxfp4Blocks(tensor, context);
  }
  if (name.endsWith("_packed")) {
    return compressedTensor(tensor, context);
  }
  if (name.endsWith(".qweight")) {
    return gptqOrAwq(tensor, context);
  }
  if (isFp8(dtype)) {
    const scale = take(context, scaleNames(name));
    const { blockSize } = context.quantization;
    return scale && fp8Tensor(tensor, scale, { blockSize, scales: context.scales });
  }
  return dtype === "U8" || dtype === "I8" ? packedFloats(name, tensor, context) : undefined;
}

/** gpt-oss: `X_blocks` and `X_scales`. */
function mxfp4Blocks(codes: SafetensorsTensor, context: Context): StoredTensor {
  const name = codes.name.slice(0, -"_blocks".length);
  return mxfp4Tensor(name, codes, require(context, codes, [`${name}_scales`]));
}

/** compressed-tensors: `weight_packed` of 4-bit floats (bytes) or of integers (words). */
function compressedTensor(packed: SafetensorsTensor, context: Context): StoredTensor {
  const name = packed.name.slice(0, -"_packed".length);
  if (packed.dtype === "U8" || packed.dtype === "I8") {
    const floats = packedFloats(name, packed, context);
    return floats ?? failTensor(packed, `has no scale; "${name}_scale" is expected`);
  }
  const parts = {
    packed,
    scale: require(context, packed, [`${name}_scale`]),
    zeroPoint: take(context, [`${name}_zero_point`]),
    groupIndex: take(context, [`${name}_g_idx`]),
    bits: context.quantization.bits,
  };
  return packedIntegers(name, parts, context.scales);
}

/** Bytes of two 4-bit floats: NVFP4 if there is a scale for the whole tensor too, MXFP4 otherwise. */
function packedFloats(name: string, codes: SafetensorsTensor, context: Context): StoredTensor | undefined {
  const scales = take(context, scaleNames(name));
  if (scales === undefined) {
    return undefined;
  }
  const factor = take(context, [`${name}_scale_2`]);
  const divisor = factor ? undefined : take(context, [`${name}_global_scale`]);
  const global = factor ?? divisor;
  return global
    ? nvfp4Tensor(name, { codes, scales, global, divides: divisor !== undefined }, context.scales)
    : mxfp4Tensor(name, codes, scales);
}

function gptqOrAwq(weight: SafetensorsTensor, context: Context): StoredTensor {
  const base = weight.name.slice(0, -".qweight".length);
  const { method, bits, zeroOffset } = context.quantization;
  if (method !== "gptq" && method !== "awq") {
    failTensor(weight, "is packed as by GPTQ or AWQ, but config.json does not say by which of them");
  }
  const parts = {
    method,
    weight,
    zeros: require(context, weight, [`${base}.qzeros`]),
    scales: require(context, weight, [`${base}.scales`]),
    groupIndex: take(context, [`${base}.g_idx`]),
    bits,
    zeroOffset,
  } as const;
  return transposedIntegers(`${base}.weight`, parts, context.recent);
}

/** Names that a weight's scales can have. */
function scaleNames(name: string): readonly string[] {
  const names = [`${name}_scale_inv`, `${name}_scale`];
  if (name.endsWith(".weight")) {
    const base = name.slice(0, -"weight".length);
    names.push(`${base}scale`, `${base}qscale_weight`);
  }
  return names;
}

/** The first of these tensors that there is, which from now on is part of another. */
function take({ files, companions }: Context, names: readonly string[]): SafetensorsTensor | undefined {
  for (const name of names) {
    const tensor = files.get(name);
    if (tensor) {
      companions.add(name);
      return tensor;
    }
  }
  return undefined;
}

function require(context: Context, main: SafetensorsTensor, names: readonly string[]): SafetensorsTensor {
  return (
    take(context, names) ??
    failTensor(main, `lacks its companion "${names[0]}"; check that all files are downloaded`)
  );
}
