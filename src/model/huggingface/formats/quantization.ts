/** What config.json says of how the weights are packed. The tensors say most of it themselves. */
import { isJsonArray } from "../../../bytes/json.js";
import { MalformedInputError } from "../../../errors.js";
import type { Fields } from "../fields.js";
import type { BlockSize } from "./fp8.js";

export interface Quantization {
  /** `quant_method`; undefined if the weights are not said to be packed. */
  readonly method: string | undefined;
  /** Rows and columns that share an FP8 scale, where scales are for blocks. */
  readonly blockSize: BlockSize;
  /** Bits per weight of packed integers. */
  readonly bits: 4 | 8;
  /** What GPTQ adds to its zero points. */
  readonly zeroOffset: 0 | 1;
}

const defaultBlock: BlockSize = [128, 128];

const knownMethods = ["fp8", "mxfp4", "compressed-tensors", "modelopt", "gptq", "awq"] as const;

/** Reads `quantization_config`. Throws a MalformedInputError for a method whose weights cannot be decoded. */
export function readQuantization(config: Fields): Quantization {
  const fields = config.object("quantization_config") ?? config.object("compression_config");
  const method = fields?.string("quant_method");
  if (fields && method !== undefined && !knownMethods.some((known) => known === method)) {
    throw new MalformedInputError(
      `${config.file}: the weights are packed by "${method}", which cannot be decoded; known are ${knownMethods.join(", ")}. Take the original model in BF16 or FP8.`,
      { file: config.file },
    );
  }
  const weights = fields?.object("config_groups")?.firstObject()?.object("weights");
  return {
    method,
    blockSize:
      blockSizeOf(fields, "weight_block_size") ?? blockSizeOf(weights, "block_structure") ?? defaultBlock,
    bits: bitsOf(weights, "num_bits") ?? bitsOf(fields, "bits") ?? bitsOf(fields, "w_bit") ?? 4,
    zeroOffset: method === "gptq" && fields?.string("checkpoint_format") !== "gptq_v2" ? 1 : 0,
  };
}

function blockSizeOf(fields: Fields | undefined, key: string): BlockSize | undefined {
  const value = fields?.value(key);
  if (!fields || value === undefined) {
    return undefined;
  }
  const [rows, columns] = isJsonArray(value) ? value : [];
  const isSize = (size: unknown): size is number => Number.isInteger(size) && Number(size) > 0;
  if (!isSize(rows) || !isSize(columns)) {
    return fields.wrong(key, "two whole numbers");
  }
  return [rows, columns];
}

function bitsOf(fields: Fields | undefined, key: string): 4 | 8 | undefined {
  const bits = fields?.count(key);
  return bits === 4 || bits === 8 ? bits : undefined;
}
