/**
 * llama.cpp's `llama_model_quantize`, called in-process: as a dry run the oracle for the choice of types, which
 * needs a GGUF file with the architecture's metadata but reads no weights, so the file may be sparse; and in
 * earnest, what the benchmarks compare with.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseTypeName, type TypeName, traitsOf } from "../quants/types.js";
import { koffi, libraryFolder } from "./ggml.js";

const fileName = readdirSync(libraryFolder).find((name) =>
  /^(lib)?llama\.(v[\d.]+\.)?(so|dylib|dll)$/.test(name),
);
if (fileName === undefined) {
  throw new Error(`${libraryFolder} has no llama library`);
}
const llama = koffi.load(join(libraryFolder, fileName));

// Layouts: `include/llama.h`. The pointers to arrays end with an empty item.
koffi.struct("llama_model_tensor_override", { pattern: "const char *", type: "int" });
koffi.struct("llama_model_imatrix_data", { name: "const char *", data: "const float *", size: "size_t" });
koffi.struct("llama_model_quantize_params", {
  nthread: "int32_t",
  ftype: "int",
  output_tensor_type: "int",
  token_embedding_type: "int",
  allow_requantize: "bool",
  quantize_output_tensor: "bool",
  only_copy: "bool",
  pure: "bool",
  keep_split: "bool",
  dry_run: "bool",
  imatrix: "llama_model_imatrix_data *",
  kv_overrides: "void *",
  tt_overrides: "llama_model_tensor_override *",
  prune_layers: "const int32_t *",
  max_buf_size: "size_t",
});
const LogCallback = koffi.proto("void ggml_log_callback(int level, const char *text, void *user_data)");
const defaultParams = llama.func("llama_model_quantize_params llama_model_quantize_default_params()");
const quantize = llama.func(
  "uint32_t llama_model_quantize(const char *input, const char *output, llama_model_quantize_params *params)",
);
const setLog = llama.func("void llama_log_set(ggml_log_callback *callback, void *user_data)");

export interface LlamaQuantizeOptions {
  /** Number of the mixture. */
  readonly ftype: number;
  readonly outputTensorType?: TypeName;
  readonly tokenEmbeddingType?: TypeName;
  readonly tensorTypes?: readonly { readonly pattern: string; readonly type: TypeName }[];
  readonly hasImatrix?: boolean;
  readonly pure?: boolean;
  readonly leaveOutputTensor?: boolean;
  readonly copy?: boolean;
  readonly keepSplit?: boolean;
}

/** The type that llama-quantize would give each tensor of a file. Throws with its log if it fails. */
export function llamaQuantizeTypes(path: string, options: LlamaQuantizeOptions): Map<string, TypeName> {
  const patterns = (options.tensorTypes ?? []).map(({ pattern, type }) => ({
    pattern,
    type: traitsOf(type).id,
  }));
  const params = {
    ...defaultParams(),
    nthread: 1,
    ftype: options.ftype,
    pure: options.pure ?? false,
    only_copy: options.copy ?? false,
    keep_split: options.keepSplit ?? false,
    quantize_output_tensor: !options.leaveOutputTensor,
    dry_run: true,
    ...(options.outputTensorType && { output_tensor_type: traitsOf(options.outputTensorType).id }),
    ...(options.tokenEmbeddingType && { token_embedding_type: traitsOf(options.tokenEmbeddingType).id }),
    ...(patterns.length > 0 && { tt_overrides: [...patterns, { pattern: null, type: 0 }] }),
    // A dry run asks only whether there is an importance matrix.
    ...(options.hasImatrix && {
      imatrix: [
        { name: "any", data: new Float32Array([1]), size: 1 },
        { name: null, data: null, size: 0 },
      ],
    }),
  };
  log = "";
  if (quantize(path, "", params) !== 0) {
    throw new Error(`llama_model_quantize failed:\n${log}`);
  }
  return parseLog(log);
}

export interface LlamaQuantizeRun {
  readonly threads: number;
  /** Patterns on tensor names, the first that matches decides; one for every tensor that is to be quantized. */
  readonly tensorTypes: readonly { readonly pattern: string; readonly type: TypeName }[];
  readonly tokenEmbeddingType: TypeName;
  readonly outputTensorType: TypeName;
  /** Importance by tensor name: a value per column, expert after expert. */
  readonly importance: ReadonlyMap<string, Float32Array>;
}

/** Quantizes a file as llama-quantize would with these options. Throws with its log if it fails. */
export function llamaQuantize(input: string, output: string, run: LlamaQuantizeRun): void {
  const patterns = run.tensorTypes.map(({ pattern, type }) => ({ pattern, type: traitsOf(type).id }));
  const imatrix = [...run.importance].map(([name, data]) => ({ name, data, size: data.length }));
  const params = {
    ...defaultParams(),
    nthread: run.threads,
    ftype: q4_0FileType,
    pure: true,
    allow_requantize: true,
    output_tensor_type: traitsOf(run.outputTensorType).id,
    token_embedding_type: traitsOf(run.tokenEmbeddingType).id,
    tt_overrides: [...patterns, { pattern: null, type: 0 }],
    imatrix: [...imatrix, { name: null, data: null, size: 0 }],
  };
  log = "";
  if (quantize(input, output, params) !== 0) {
    throw new Error(`llama_model_quantize failed:\n${log}`);
  }
}

/** `LLAMA_FTYPE_MOSTLY_Q4_0`; with a pattern for every tensor it is only what the file says of itself. */
const q4_0FileType = 2;

/** What llama.cpp said since the last call; without a callback it writes to stderr. */
let log = "";
const collect = koffi.register((_level: number, text: string) => {
  log += text;
}, koffi.pointer(LogCallback));
setLog(collect, null);

/** Lines like `[  2/ 25]  output.weight - [ 64, 96, 1, 1], type = f16, size = 0.01 MiB -> 0.01 MiB (q6_K)`. */
function parseLog(log: string): Map<string, TypeName> {
  const line = /^\[ *\d+\/ *\d+\] +(\S+) +- \[[^\]]*\], type = +(\w+), size = .*?(?:\((\w+)\))?$/gm;
  const types = new Map<string, TypeName>();
  for (const [, name = "", from = "", to] of log.matchAll(line)) {
    types.set(name, parseTypeName(to ?? from));
  }
  return types;
}
