/**
 * llama.cpp's own block codecs, called in-process: the oracle that ours are compared with. Only tests and
 * benchmarks use it.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { rowBytes, type TypeName, traitsOf } from "../quants/types.js";

const require = createRequire(import.meta.url);
const platform: Record<string, string> = { linux: "linux", darwin: "mac", win32: "win" };
const suffix = process.platform === "darwin" && process.arch === "arm64" ? "-metal" : "";
const packageName = `${platform[process.platform]}-${process.arch}${suffix}`;
const fileName =
  process.platform === "win32"
    ? "ggml-base.dll"
    : process.platform === "darwin"
      ? "libggml-base.dylib"
      : "libggml-base.so";

export const koffi = require("koffi") as typeof import("koffi");
const packageRoot = dirname(dirname(require.resolve(`@node-llama-cpp/${packageName}`)));
/** Where llama.cpp's libraries lie. */
export const libraryFolder = join(packageRoot, "bins", packageName);
/** llama.cpp's `ggml-base` library. */
export const library = koffi.load(join(libraryFolder, fileName));

const quantizeInit = library.func("void ggml_quantize_init(int type)");
const quantizeChunk = library.func(
  "size_t ggml_quantize_chunk(int type, const float *src, void *dst, int64_t start, int64_t nrows, int64_t n_per_row, const float *imatrix)",
);
const validateRowData = library.func(
  "bool ggml_validate_row_data(int type, const void *data, size_t nbytes)",
);
const blockSize = library.func("int64_t ggml_blck_size(int type)");
const typeSize = library.func("size_t ggml_type_size(int type)");

/** Weights and bytes of a block as llama.cpp has them. */
export function ggmlTypeSize(type: TypeName): { blockSize: number; blockBytes: number } {
  const { id } = traitsOf(type);
  return { blockSize: Number(blockSize(id)), blockBytes: Number(typeSize(id)) };
}

/** `ggml_quantize_chunk`: encodes whole rows. `importance` has one value per column. */
export function ggmlEncode(
  type: TypeName,
  weights: Float32Array,
  columns: number,
  importance?: Float32Array,
): Uint8Array {
  const rows = weights.length / columns;
  const bytes = new Uint8Array(rows * rowBytes(type, columns));
  const { id } = traitsOf(type);
  quantizeInit(id);
  quantizeChunk(id, weights, bytes, 0, rows, columns, importance ?? null);
  return bytes;
}

const decoders = new Map<TypeName, (bytes: Uint8Array, out: Float32Array, count: number) => void>();

/** `dequantize_row_*` (or the fp16 / bf16 conversions): decodes `count` weights. */
export function ggmlDecode(type: TypeName, bytes: Uint8Array, count: number): Float32Array {
  let decode = decoders.get(type);
  if (!decode) {
    const symbol =
      type === "F16"
        ? "ggml_fp16_to_fp32_row"
        : type === "BF16"
          ? "ggml_bf16_to_fp32_row"
          : `dequantize_row_${type.toLowerCase().replace(/_k$/, "_K")}`;
    decode = library.func(`void ${symbol}(const void *x, _Out_ float *y, int64_t k)`) as typeof decode &
      object;
    decoders.set(type, decode);
  }
  const out = new Float32Array(count);
  decode(bytes, out, count);
  return out;
}

/** `ggml_validate_row_data`: whether llama.cpp finds the encoded bytes sound. */
export function ggmlValidate(type: TypeName, bytes: Uint8Array): boolean {
  return validateRowData(traitsOf(type).id, bytes, bytes.byteLength);
}
