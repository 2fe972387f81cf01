/** What llama.cpp knows of a loaded model. */
import { MalformedInputError } from "../errors.js";
import type { NativeLibrary } from "./library.js";
import { type Address, C } from "./native.js";

/** What is known of a model without running it. */
export interface ModelFacts {
  readonly architecture: string;
  readonly layers: number;
  readonly embeddingLength: number;
  /** Elements of the vectors that it puts out, which is another number for some architectures. */
  readonly outputLength: number;
  /** Numbers that say where a token is: 4 for rotary embeddings with image coordinates, otherwise 1. */
  readonly positionsPerToken: number;
  /** Tokens that the sliding windows of attention look back, or 0 if there are none. */
  readonly attentionWindow: number;
  /** It keeps a state that grows from token to token, in all or some layers, instead of each token's. */
  readonly isRecurrent: boolean;
  /** Tokens of context that the model was trained with. */
  readonly trainedContextLength: number;
  readonly parameters: number;
  readonly weightsBytes: number;
  readonly vocabularySize: number;
  readonly addsBos: boolean;
  readonly addsEos: boolean;
  /** Token that begins a text, or -1. */
  readonly bosToken: number;
  /** Token that ends a text, or -1. */
  readonly eosToken: number;
  readonly chatTemplate: string | undefined;
  /** All metadata except arrays, as llama.cpp prints it. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Asks llama.cpp. */
export function readFacts(
  library: NativeLibrary,
  path: string,
  model: Address,
  vocabulary: Address,
): ModelFacts {
  const { native } = library;
  const metadata = readMetadata(library, model);
  if (native.llama_model_has_encoder(model)) {
    throw new MalformedInputError(
      `${path}: its architecture "${metadata.get("general.architecture")}" has an encoder; only models without one can be run.`,
      { file: path },
    );
  }
  return {
    architecture: metadata.get("general.architecture") ?? "unknown",
    layers: native.llama_model_n_layer(model),
    embeddingLength: native.llama_model_n_embd(model),
    outputLength: native.llama_model_n_embd_out(model),
    positionsPerToken: C.multimodalRope.has(native.llama_model_rope_type(model)) ? 4 : 1,
    attentionWindow: native.llama_model_n_swa(model),
    isRecurrent: native.llama_model_is_recurrent(model) || native.llama_model_is_hybrid(model),
    trainedContextLength: native.llama_model_n_ctx_train(model),
    parameters: Number(native.llama_model_n_params(model)),
    weightsBytes: Number(native.llama_model_size(model)),
    vocabularySize: native.llama_vocab_n_tokens(vocabulary),
    addsBos: native.llama_vocab_get_add_bos(vocabulary),
    addsEos: native.llama_vocab_get_add_eos(vocabulary),
    bosToken: native.llama_vocab_bos(vocabulary),
    eosToken: native.llama_vocab_eos(vocabulary),
    chatTemplate: native.llama_model_chat_template(model, null) ?? undefined,
    metadata,
  };
}

/** All metadata except arrays, as llama.cpp prints it. */
export function readMetadata({ native }: NativeLibrary, model: Address): Map<string, string> {
  const metadata = new Map<string, string>();
  const count = native.llama_model_meta_count(model);
  for (let index = 0; index < count; index++) {
    const key = readString((buffer) =>
      native.llama_model_meta_key_by_index(model, index, buffer, buffer.length),
    );
    const value = readString((buffer) =>
      native.llama_model_meta_val_str_by_index(model, index, buffer, buffer.length),
    );
    metadata.set(key, value);
  }
  return metadata;
}

/** Reads a string through a C function that returns its full length, like `snprintf`. */
function readString(write: (buffer: Uint8Array) => number): string {
  let buffer = new Uint8Array(256);
  let length = write(buffer);
  if (length >= buffer.length) {
    buffer = new Uint8Array(length + 1);
    length = write(buffer);
  }
  return new TextDecoder().decode(buffer.subarray(0, Math.max(0, length)));
}
