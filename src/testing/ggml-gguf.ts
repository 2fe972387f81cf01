/** llama.cpp's own GGUF reader and writer, called in-process: an oracle for ours. Only tests use it. */
import { koffi, library } from "./ggml.js";

koffi.struct("gguf_init_params", { no_alloc: "bool", ctx: "void *" });
const initFromBuffer = library.func(
  "void *gguf_init_from_buffer(const void *data, size_t size, gguf_init_params params)",
);
const free = library.func("void gguf_free(void *ctx)");
const tensorCount = library.func("int64_t gguf_get_n_tensors(void *ctx)");
const tensorName = library.func("const char *gguf_get_tensor_name(void *ctx, int64_t index)");
const tensorOffset = library.func("size_t gguf_get_tensor_offset(void *ctx, int64_t index)");
const tensorSize = library.func("size_t gguf_get_tensor_size(void *ctx, int64_t index)");
const dataOffset = library.func("size_t gguf_get_data_offset(void *ctx)");
const metaSize = library.func("size_t gguf_get_meta_size(void *ctx)");
const metaData = library.func("void gguf_get_meta_data(void *ctx, _Out_ uint8_t *data)");

export interface GgmlReading {
  /** The header as llama.cpp writes it again. */
  readonly header: Uint8Array;
  readonly tensors: readonly { name: string; offset: number; byteLength: number }[];
}

/** Reads a file's bytes with llama.cpp; undefined if it refuses them (it prints why). */
export function ggmlReadGguf(bytes: Uint8Array): GgmlReading | undefined {
  const context = initFromBuffer(bytes, bytes.byteLength, { no_alloc: true, ctx: null });
  if (context === null) {
    return undefined;
  }
  try {
    const header = new Uint8Array(Number(metaSize(context)));
    metaData(context, header);
    const start = Number(dataOffset(context));
    const tensors = Array.from({ length: Number(tensorCount(context)) }, (_, index) => ({
      name: String(tensorName(context, index)),
      offset: start + Number(tensorOffset(context, index)),
      byteLength: Number(tensorSize(context, index)),
    }));
    return { header, tensors };
  } finally {
    free(context);
  }
}
