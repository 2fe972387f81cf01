/**
 * The C surface of llama.cpp v0.5.0, and nothing else: structures, callback types and functions, as declared in
 * its include/llama.h and ggml/include/{ggml,ggml-backend}.h. No other file names a C symbol or a structure's
 * field. Native addresses are plain numbers here (user space ends far below 2^53); 0 is NULL.
 */
import type { LibraryHandle } from "koffi";

/** koffi, the foreign function interface: an optional dependency, so it is passed in rather than imported. */
export type Koffi = typeof import("koffi");

/** Address of something native; 0 is NULL. */
export type Address = number;

/** The llama.cpp release whose headers this file mirrors. */
export const mirroredVersion = "0.5.0";

/** Values of C enumerations and limits that this project names. */
export const C = {
  logLevels: ["none", "debug", "info", "warn", "error", "continued"],
  loadMode: { read: 0, map: 1 },
  maxSourcesPerTensor: 10,
  maxNameBytes: 64,
  decode: { done: 0, noRoom: 1, aborted: 2 },
  contextType: { trunk: 0, prediction: 1 },
  pooling: { unspecified: -1, none: 0, mean: 1, cls: 2, last: 3, rank: 4 },
  flashAttention: { auto: -1, disabled: 0 },
  bufferUsage: { weights: 1 },
  tokenAttributes: { unknown: 1, control: 8, userDefined: 16, stripsLeft: 128, stripsRight: 256 },
  /** `llama_rope_type` of M-RoPE and its interleaved variant. */
  multimodalRope: new Set([8, 40]),
} as const;

/** `ggml_type` of the floating-point and integer types that activations have. */
export const activationType = { F32: 0, F16: 1, I32: 26 } as const;

/**
 * `struct ggml_tensor` of ggml.h on a 64-bit machine: byte offsets of the fields that are read through views
 * rather than decoded, because a graph has hundreds of nodes and each is looked at in every evaluation.
 */
export const tensorLayout = {
  type: 0,
  buffer: 8,
  shape: 16,
  strides: 48,
  operation: 80,
  sources: 152,
  viewSource: 232,
  data: 248,
  name: 256,
  byteLength: 336,
} as const;

/** `llama_token_data` (token, logit, probability) and `llama_token_data_array` (tokens, their number, the chosen one, sorted). */
export const tokenDataLayout = {
  byteLength: 12,
  arrayByteLength: 32,
  array: { tokens: 0, count: 8, chosen: 16, isSorted: 24 },
} as const;

/** `struct llama_model_tensor_buft_override`: a pattern of names, and where such tensors lie; an empty one ends the list. */
export const bufferOverrideLayout = { byteLength: 16, pattern: 0, bufferType: 8 } as const;

/** Bytes of `struct ggml_object`, which precedes every tensor in `ggml_tensor_overhead`. */
const ggmlObjectBytes = 32;

/** `struct llama_model_params`. */
export interface ModelParams {
  devices: Address;
  tensor_buft_overrides: Address;
  n_gpu_layers: number;
  split_mode: number;
  load_mode: number;
  lazy_mode: number;
  main_gpu: number;
  tensor_split: Address;
  progress_callback: Address;
  progress_callback_user_data: Address;
  kv_overrides: Address;
  vocab_only: boolean;
  check_tensors: boolean;
  use_extra_bufts: boolean;
  no_host: boolean;
  no_alloc: boolean;
  load_mtp: boolean;
}

/** `struct llama_context_params`. */
export interface ContextParams {
  n_ctx: number;
  n_batch: number;
  n_ubatch: number;
  n_seq_max: number;
  n_rs_seq: number;
  n_outputs_max: number;
  n_outputs_max_per_seq: number;
  n_threads: number;
  n_threads_batch: number;
  ctx_type: number;
  rope_scaling_type: number;
  pooling_type: number;
  attention_type: number;
  flash_attn_type: number;
  rope_freq_base: number;
  rope_freq_scale: number;
  yarn_ext_factor: number;
  yarn_attn_factor: number;
  yarn_beta_fast: number;
  yarn_beta_slow: number;
  yarn_orig_ctx: number;
  defrag_thold: number;
  cb_eval: Address;
  cb_eval_user_data: Address;
  type_k: number;
  type_v: number;
  abort_callback: Address;
  abort_callback_data: Address;
  embeddings: boolean;
  offload_kqv: boolean;
  no_perf: boolean;
  op_offload: boolean;
  swa_full: boolean;
  kv_unified: boolean;
  samplers: Address;
  n_samplers: number;
  ctx_other: Address;
}

/** `struct llama_batch`. */
export interface NativeBatch {
  n_tokens: number;
  token: Address;
  embd: Address;
  pos: Address;
  n_seq_id: Address;
  seq_id: Address;
  logits: Address;
}

/** `struct llama_model_quantize_params`: only its defaults are read, as a check of the library's version. */
export interface QuantizeParams {
  nthread: number;
  ftype: number;
  output_tensor_type: number;
  token_embedding_type: number;
  allow_requantize: boolean;
  quantize_output_tensor: boolean;
  only_copy: boolean;
  pure: boolean;
  keep_split: boolean;
  dry_run: boolean;
  imatrix: Address;
  kv_overrides: Address;
  tt_overrides: Address;
  prune_layers: Address;
  max_buf_size: number;
}

const modelParamsLayout = {
  devices: "uintptr_t",
  tensor_buft_overrides: "uintptr_t",
  n_gpu_layers: "int32_t",
  split_mode: "int32_t",
  load_mode: "int32_t",
  lazy_mode: "int32_t",
  main_gpu: "int32_t",
  tensor_split: "uintptr_t",
  progress_callback: "uintptr_t",
  progress_callback_user_data: "uintptr_t",
  kv_overrides: "uintptr_t",
  vocab_only: "bool",
  check_tensors: "bool",
  use_extra_bufts: "bool",
  no_host: "bool",
  no_alloc: "bool",
  load_mtp: "bool",
} satisfies Record<keyof ModelParams, string>;

const contextParamsLayout = {
  n_ctx: "uint32_t",
  n_batch: "uint32_t",
  n_ubatch: "uint32_t",
  n_seq_max: "uint32_t",
  n_rs_seq: "uint32_t",
  n_outputs_max: "uint32_t",
  n_outputs_max_per_seq: "uint32_t",
  n_threads: "int32_t",
  n_threads_batch: "int32_t",
  ctx_type: "int32_t",
  rope_scaling_type: "int32_t",
  pooling_type: "int32_t",
  attention_type: "int32_t",
  flash_attn_type: "int32_t",
  rope_freq_base: "float",
  rope_freq_scale: "float",
  yarn_ext_factor: "float",
  yarn_attn_factor: "float",
  yarn_beta_fast: "float",
  yarn_beta_slow: "float",
  yarn_orig_ctx: "uint32_t",
  defrag_thold: "float",
  cb_eval: "uintptr_t",
  cb_eval_user_data: "uintptr_t",
  type_k: "int32_t",
  type_v: "int32_t",
  abort_callback: "uintptr_t",
  abort_callback_data: "uintptr_t",
  embeddings: "bool",
  offload_kqv: "bool",
  no_perf: "bool",
  op_offload: "bool",
  swa_full: "bool",
  kv_unified: "bool",
  samplers: "uintptr_t",
  n_samplers: "size_t",
  ctx_other: "uintptr_t",
} satisfies Record<keyof ContextParams, string>;

const batchLayout = {
  n_tokens: "int32_t",
  token: "uintptr_t",
  embd: "uintptr_t",
  pos: "uintptr_t",
  n_seq_id: "uintptr_t",
  seq_id: "uintptr_t",
  logits: "uintptr_t",
} satisfies Record<keyof NativeBatch, string>;

const quantizeParamsLayout = {
  nthread: "int32_t",
  ftype: "int32_t",
  output_tensor_type: "int32_t",
  token_embedding_type: "int32_t",
  allow_requantize: "bool",
  quantize_output_tensor: "bool",
  only_copy: "bool",
  pure: "bool",
  keep_split: "bool",
  dry_run: "bool",
  imatrix: "uintptr_t",
  kv_overrides: "uintptr_t",
  tt_overrides: "uintptr_t",
  prune_layers: "uintptr_t",
  max_buf_size: "size_t",
} satisfies Record<keyof QuantizeParams, string>;

/**
 * What v0.5.0's `*_default_params` return. The library cannot tell the size of its structures, but a field that
 * was added, removed or moved shows as a default value in the wrong place.
 */
const defaults: {
  model: Partial<ModelParams>;
  context: Partial<ContextParams>;
  quantize: Partial<QuantizeParams>;
} = {
  model: {
    devices: 0,
    n_gpu_layers: -1,
    split_mode: 1,
    load_mode: -1,
    lazy_mode: 1,
    main_gpu: 0,
    tensor_split: 0,
    progress_callback: 0,
    kv_overrides: 0,
    vocab_only: false,
    use_extra_bufts: true,
    no_alloc: false,
    load_mtp: false,
  },
  context: {
    n_ctx: 512,
    n_batch: 2048,
    n_ubatch: 512,
    n_seq_max: 1,
    n_outputs_max: 0,
    n_outputs_max_per_seq: 1,
    n_threads: 4,
    n_threads_batch: 4,
    ctx_type: 0,
    rope_scaling_type: -1,
    flash_attn_type: -1,
    rope_freq_base: 0,
    yarn_ext_factor: -1,
    yarn_orig_ctx: 0,
    defrag_thold: -1,
    cb_eval: 0,
    type_k: 1,
    type_v: 1,
    abort_callback: 0,
    embeddings: false,
    offload_kqv: true,
    no_perf: true,
    op_offload: true,
    swa_full: true,
    kv_unified: false,
    samplers: 0,
    n_samplers: 0,
    ctx_other: 0,
  },
  quantize: {
    nthread: 0,
    ftype: 7,
    output_tensor_type: 43,
    token_embedding_type: 43,
    quantize_output_tensor: true,
    pure: false,
    imatrix: 0,
    max_buf_size: 8 * 2 ** 30,
  },
};

/** The kinds of callback that llama.cpp takes. */
export interface Callbacks {
  /** `ggml_log_callback`: level (see `C.logLevels`) and text, a line or a part of one. */
  log: (level: number, text: string, user: Address) => void;
  /** `llama_progress_callback`: 0 to 1; false stops the loading. */
  progress: (progress: number, user: Address) => boolean;
  /** `ggml_backend_sched_eval_callback`. */
  evaluate: (tensor: Address, ask: boolean, user: Address) => boolean;
  /** `ggml_abort_callback`: true stops the computation. */
  abort: (user: Address) => boolean;
}

/** koffi's type names are global to a thread, so a structure is declared once. */
let declared: ReturnType<typeof declareTypes> | undefined;

function declareTypes(ffi: Koffi) {
  const callback = (prototype: string) => ffi.pointer(ffi.proto(prototype));
  return {
    model: ffi.struct("llama_model_params", modelParamsLayout),
    context: ffi.struct("llama_context_params", contextParamsLayout),
    batch: ffi.struct("llama_batch", batchLayout),
    quantize: ffi.struct("llama_model_quantize_params", quantizeParamsLayout),
    callbacks: {
      log: callback("void ggml_log_callback(int level, const char *text, uintptr_t user)"),
      progress: callback("bool llama_progress_callback(float progress, uintptr_t user)"),
      evaluate: callback("bool ggml_eval_callback(uintptr_t tensor, bool ask, uintptr_t user)"),
      abort: callback("bool ggml_abort_callback(uintptr_t user)"),
    } satisfies Record<keyof Callbacks, unknown>,
  };
}

/** Gives a JavaScript function a C address until `release` is called. */
export function registerCallback<K extends keyof Callbacks>(
  ffi: Koffi,
  kind: K,
  callback: Callbacks[K],
): { address: Address; release: () => void } {
  declared ??= declareTypes(ffi);
  const pointer = ffi.register(callback, declared.callbacks[kind]);
  return { address: Number(pointer), release: () => ffi.unregister(pointer) };
}

/**
 * Binds the C functions in use.
 * @param files the three shared libraries: ggml-base (tensors), ggml (backends), llama
 */
export function bindFunctions(
  ffi: Koffi,
  files: { base: LibraryHandle; ggml: LibraryHandle; llama: LibraryHandle },
) {
  declared ??= declareTypes(ffi);
  const { base, ggml, llama } = files;
  return {
    llama_version: llama.func("const char *llama_version()") as () => string,
    ggml_version: base.func("const char *ggml_version()") as () => string,
    llama_log_set: llama.func("void llama_log_set(uintptr_t callback, uintptr_t user)") as (
      callback: Address,
      user: Address,
    ) => void,
    llama_backend_init: llama.func("void llama_backend_init()") as () => void,
    llama_supports_gpu_offload: llama.func("bool llama_supports_gpu_offload()") as () => boolean,
    llama_max_parallel_sequences: llama.func("size_t llama_max_parallel_sequences()") as () => number,

    ggml_backend_load_all_from_path: ggml.func(
      "void ggml_backend_load_all_from_path(const char *folder)",
    ) as (folder: string) => void,
    ggml_backend_dev_count: ggml.func("size_t ggml_backend_dev_count()") as () => number,
    ggml_backend_dev_get: ggml.func("uintptr_t ggml_backend_dev_get(size_t index)") as (
      index: number,
    ) => Address,
    ggml_backend_dev_name: base.func("const char *ggml_backend_dev_name(uintptr_t device)") as (
      device: Address,
    ) => string,
    ggml_backend_dev_description: base.func("const char *ggml_backend_dev_description(uintptr_t device)") as (
      device: Address,
    ) => string,
    ggml_backend_dev_type: base.func("int ggml_backend_dev_type(uintptr_t device)") as (
      device: Address,
    ) => number,
    ggml_backend_cpu_buffer_type: base.func("uintptr_t ggml_backend_cpu_buffer_type()") as () => Address,
    ggml_backend_dev_memory: base.func(
      "void ggml_backend_dev_memory(uintptr_t device, _Out_ size_t *free, _Out_ size_t *total)",
    ) as (device: Address, free: [number], total: [number]) => void,

    llama_model_default_params: llama.func(
      "llama_model_default_params",
      declared.model,
      [],
    ) as () => ModelParams,
    llama_context_default_params: llama.func(
      "llama_context_default_params",
      declared.context,
      [],
    ) as () => ContextParams,
    llama_model_quantize_default_params: llama.func(
      "llama_model_quantize_default_params",
      declared.quantize,
      [],
    ) as () => QuantizeParams,

    llama_model_load_from_file: llama.func("llama_model_load_from_file", "uintptr_t", [
      "const char *",
      declared.model,
    ]) as (path: string, params: ModelParams) => Address,
    llama_model_free: llama.func("void llama_model_free(uintptr_t model)") as (model: Address) => void,
    llama_model_get_vocab: llama.func("uintptr_t llama_model_get_vocab(uintptr_t model)") as (
      model: Address,
    ) => Address,
    llama_model_n_ctx_train: llama.func("int32_t llama_model_n_ctx_train(uintptr_t model)") as (
      model: Address,
    ) => number,
    llama_model_n_embd: llama.func("int32_t llama_model_n_embd(uintptr_t model)") as (
      model: Address,
    ) => number,
    llama_model_n_swa: llama.func("int32_t llama_model_n_swa(uintptr_t model)") as (model: Address) => number,
    llama_model_rope_type: llama.func("int llama_model_rope_type(uintptr_t model)") as (
      model: Address,
    ) => number,
    llama_print_system_info: llama.func("const char *llama_print_system_info(void)") as () => string,
    llama_model_n_embd_out: llama.func("int32_t llama_model_n_embd_out(uintptr_t model)") as (
      model: Address,
    ) => number,
    llama_model_n_layer: llama.func("int32_t llama_model_n_layer(uintptr_t model)") as (
      model: Address,
    ) => number,
    llama_model_size: llama.func("uint64_t llama_model_size(uintptr_t model)") as (model: Address) => number,
    llama_model_n_params: llama.func("uint64_t llama_model_n_params(uintptr_t model)") as (
      model: Address,
    ) => number,
    llama_model_is_recurrent: llama.func("bool llama_model_is_recurrent(uintptr_t model)") as (
      model: Address,
    ) => boolean,
    llama_model_is_hybrid: llama.func("bool llama_model_is_hybrid(uintptr_t model)") as (
      model: Address,
    ) => boolean,
    llama_model_has_encoder: llama.func("bool llama_model_has_encoder(uintptr_t model)") as (
      model: Address,
    ) => boolean,
    llama_model_meta_count: llama.func("int32_t llama_model_meta_count(uintptr_t model)") as (
      model: Address,
    ) => number,
    llama_model_meta_key_by_index: llama.func(
      "int32_t llama_model_meta_key_by_index(uintptr_t model, int32_t index, _Out_ uint8_t *buffer, size_t bytes)",
    ) as (model: Address, index: number, buffer: Uint8Array, bytes: number) => number,
    llama_model_meta_val_str_by_index: llama.func(
      "int32_t llama_model_meta_val_str_by_index(uintptr_t model, int32_t index, _Out_ uint8_t *buffer, size_t bytes)",
    ) as (model: Address, index: number, buffer: Uint8Array, bytes: number) => number,
    llama_model_chat_template: llama.func(
      "const char *llama_model_chat_template(uintptr_t model, const char *name)",
    ) as (model: Address, name: string | null) => string | null,

    llama_vocab_n_tokens: llama.func("int32_t llama_vocab_n_tokens(uintptr_t vocab)") as (
      vocab: Address,
    ) => number,
    llama_vocab_bos: llama.func("int32_t llama_vocab_bos(uintptr_t vocab)") as (vocab: Address) => number,
    llama_vocab_eos: llama.func("int32_t llama_vocab_eos(uintptr_t vocab)") as (vocab: Address) => number,
    llama_vocab_get_add_bos: llama.func("bool llama_vocab_get_add_bos(uintptr_t vocab)") as (
      vocab: Address,
    ) => boolean,
    llama_vocab_get_add_eos: llama.func("bool llama_vocab_get_add_eos(uintptr_t vocab)") as (
      vocab: Address,
    ) => boolean,
    llama_vocab_is_eog: llama.func("bool llama_vocab_is_eog(uintptr_t vocab, int32_t token)") as (
      vocab: Address,
      token: number,
    ) => boolean,
    llama_vocab_get_text: llama.func("const char *llama_vocab_get_text(uintptr_t vocab, int32_t token)") as (
      vocab: Address,
      token: number,
    ) => string | null,
    llama_vocab_get_attr: llama.func("int32_t llama_vocab_get_attr(uintptr_t vocab, int32_t token)") as (
      vocab: Address,
      token: number,
    ) => number,
    llama_tokenize: llama.func(
      "int32_t llama_tokenize(uintptr_t vocab, const uint8_t *text, int32_t bytes, _Out_ int32_t *tokens, int32_t capacity, bool add_special, bool parse_special)",
    ) as (
      vocab: Address,
      text: Uint8Array,
      bytes: number,
      tokens: Int32Array,
      capacity: number,
      addSpecial: boolean,
      parseSpecial: boolean,
    ) => number,
    llama_detokenize: llama.func(
      "int32_t llama_detokenize(uintptr_t vocab, const int32_t *tokens, int32_t count, _Out_ uint8_t *text, int32_t capacity, bool remove_special, bool unparse_special)",
    ) as (
      vocab: Address,
      tokens: Int32Array,
      count: number,
      text: Uint8Array,
      capacity: number,
      removeSpecial: boolean,
      unparseSpecial: boolean,
    ) => number,
    llama_token_to_piece: llama.func(
      "int32_t llama_token_to_piece(uintptr_t vocab, int32_t token, _Out_ uint8_t *text, int32_t capacity, int32_t strip, bool special)",
    ) as (
      vocab: Address,
      token: number,
      text: Uint8Array,
      capacity: number,
      strip: number,
      special: boolean,
    ) => number,

    llama_init_from_model: llama.func("llama_init_from_model", "uintptr_t", [
      "uintptr_t",
      declared.context,
    ]) as (model: Address, params: ContextParams) => Address,
    llama_free: llama.func("void llama_free(uintptr_t context)") as (context: Address) => void,
    llama_n_ctx: llama.func("uint32_t llama_n_ctx(uintptr_t context)") as (context: Address) => number,
    llama_n_ctx_seq: llama.func("uint32_t llama_n_ctx_seq(uintptr_t context)") as (
      context: Address,
    ) => number,
    llama_n_batch: llama.func("uint32_t llama_n_batch(uintptr_t context)") as (context: Address) => number,
    llama_n_ubatch: llama.func("uint32_t llama_n_ubatch(uintptr_t context)") as (context: Address) => number,
    llama_get_memory: llama.func("uintptr_t llama_get_memory(uintptr_t context)") as (
      context: Address,
    ) => Address,
    llama_memory_clear: llama.func("void llama_memory_clear(uintptr_t memory, bool data)") as (
      memory: Address,
      data: boolean,
    ) => void,
    llama_memory_seq_rm: llama.func(
      "bool llama_memory_seq_rm(uintptr_t memory, int32_t sequence, int32_t from, int32_t to)",
    ) as (memory: Address, sequence: number, from: number, to: number) => boolean,
    llama_memory_seq_cp: llama.func(
      "void llama_memory_seq_cp(uintptr_t memory, int32_t source, int32_t target, int32_t from, int32_t to)",
    ) as (memory: Address, source: number, target: number, from: number, to: number) => void,
    llama_memory_seq_pos_min: llama.func(
      "int32_t llama_memory_seq_pos_min(uintptr_t memory, int32_t sequence)",
    ) as (memory: Address, sequence: number) => number,
    llama_decode: llama.func("llama_decode", "int32_t", ["uintptr_t", declared.batch]) as (
      context: Address,
      batch: NativeBatch,
    ) => number,
    // C++ in v0.5.0 (`src/llama-ext.h`): its name is mangled, and a compiler may mangle it in another way.
    llama_set_nextn_layer_offset: optional(() =>
      llama.func(
        process.platform === "win32"
          ? "?llama_set_nextn_layer_offset@@YAXPEAUllama_context@@H@Z"
          : "_Z28llama_set_nextn_layer_offsetP13llama_contexti",
        "void",
        ["uintptr_t", "int32_t"],
      ),
    ) as ((context: Address, offset: number) => void) | undefined,
    llama_set_n_threads: llama.func(
      "void llama_set_n_threads(uintptr_t context, int32_t single, int32_t batch)",
    ) as (context: Address, single: number, batch: number) => void,
    llama_synchronize: llama.func("void llama_synchronize(uintptr_t context)") as (context: Address) => void,
    llama_get_logits: llama.func("uintptr_t llama_get_logits(uintptr_t context)") as (
      context: Address,
    ) => Address,

    llama_sampler_init_grammar: llama.func(
      "uintptr_t llama_sampler_init_grammar(uintptr_t vocab, const char *grammar, const char *root)",
    ) as (vocab: Address, grammar: string, root: string) => Address,
    llama_sampler_apply: llama.func("void llama_sampler_apply(uintptr_t sampler, uintptr_t tokens)") as (
      sampler: Address,
      tokens: Address,
    ) => void,
    llama_sampler_accept: llama.func("void llama_sampler_accept(uintptr_t sampler, int32_t token)") as (
      sampler: Address,
      token: number,
    ) => void,
    llama_sampler_free: llama.func("void llama_sampler_free(uintptr_t sampler)") as (
      sampler: Address,
    ) => void,

    llama_pooling_type: llama.func("int llama_pooling_type(uintptr_t context)") as (
      context: Address,
    ) => number,
    llama_get_embeddings_seq: llama.func(
      "uintptr_t llama_get_embeddings_seq(uintptr_t context, int32_t sequence)",
    ) as (context: Address, sequence: number) => Address,

    ggml_op_name: base.func("const char *ggml_op_name(int operation)") as (operation: number) => string,
    ggml_nbytes: base.func("size_t ggml_nbytes(uintptr_t tensor)") as (tensor: Address) => number,
    ggml_tensor_overhead: base.func("size_t ggml_tensor_overhead()") as () => number,
    ggml_backend_buffer_is_host: base.func("bool ggml_backend_buffer_is_host(uintptr_t buffer)") as (
      buffer: Address,
    ) => boolean,
    ggml_backend_buffer_name: base.func("const char *ggml_backend_buffer_name(uintptr_t buffer)") as (
      buffer: Address,
    ) => string,
    ggml_backend_buffer_get_usage: base.func("int ggml_backend_buffer_get_usage(uintptr_t buffer)") as (
      buffer: Address,
    ) => number,
    ggml_backend_tensor_get: base.func(
      "void ggml_backend_tensor_get(uintptr_t tensor, _Out_ void *data, size_t offset, size_t bytes)",
    ) as (tensor: Address, data: Uint8Array, offset: number, bytes: number) => void,
    ggml_backend_tensor_set: base.func(
      "void ggml_backend_tensor_set(uintptr_t tensor, const void *data, size_t offset, size_t bytes)",
    ) as (tensor: Address, data: Uint8Array, offset: number, bytes: number) => void,
  };
}

/** What `bind` gives, or undefined if the library has no such function. */
function optional<T>(bind: () => T): T | undefined {
  try {
    return bind();
  } catch {
    return undefined;
  }
}

/** The bound functions. */
export type NativeFunctions = ReturnType<typeof bindFunctions>;

/**
 * Compares the structures' layouts with the library, by the default values it returns.
 * @returns a sentence about the first difference, or undefined when the library is the mirrored one
 */
export function findLayoutMismatch(native: NativeFunctions): string | undefined {
  const found = {
    model: native.llama_model_default_params(),
    context: native.llama_context_default_params(),
    quantize: native.llama_model_quantize_default_params(),
  };
  for (const structure of ["model", "context", "quantize"] as const) {
    const values: Record<string, unknown> = { ...found[structure] };
    for (const [field, expected] of Object.entries(defaults[structure])) {
      if (values[field] !== expected) {
        return `the ${structure} parameters' default of ${field} is ${values[field]} instead of ${expected}`;
      }
    }
  }
  const tensorBytes = native.ggml_tensor_overhead() - ggmlObjectBytes;
  if (tensorBytes !== tensorLayout.byteLength) {
    return `a tensor structure has ${tensorBytes} bytes instead of ${tensorLayout.byteLength}`;
  }
  return undefined;
}
