/**
 * Facts about a model, read from its GGUF metadata when they are asked for: a file without a certain key is
 * fine until somebody needs it. Keys: llama.cpp `src/llama-arch.cpp` (LLM_KV_NAMES); defaults:
 * `llama_model_base::load_hparams` in `src/llama-model.cpp`.
 */
import { quoted } from "../bytes/quoted.js";
import { MalformedInputError } from "../errors.js";
import { type Metadata, metadataNumber, metadataString } from "../gguf/metadata.js";

/**
 * What is refused: far above any model's facts (llama.cpp has room for 512 layers, the longest context is 10 million
 * tokens), and low enough that what is computed of them, and what llama.cpp is asked about them, comes to an end.
 */
export const mostOfFacts = {
  layers: 2 ** 12,
  context: 2 ** 25,
  experts: 2 ** 16,
  heads: 2 ** 16,
  width: 2 ** 24,
  vocabulary: 2 ** 24,
};

/** Other whole numbers, such as windows of attention. */
const mostOfOthers = 2 ** 32;

export class Architecture {
  readonly #metadata: Metadata;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  /** `general.architecture`, e.g. `qwen3moe`. */
  get name(): string {
    const name = metadataString(this.#metadata, "general.architecture");
    if (name === undefined) {
      throw missing("general.architecture", "the model's architecture");
    }
    return name;
  }

  /** All layers, those for multi-token prediction included. */
  get layers(): number {
    return this.#required("block_count", "the number of layers", mostOfFacts.layers);
  }

  /** Layers at the end that predict further tokens (MTP). */
  get nextnLayers(): number {
    return this.#optional("nextn_predict_layers", mostOfFacts.layers) ?? 0;
  }

  /** Leading layers whose feed-forward part has no experts. */
  get leadingDenseLayers(): number {
    return this.#optional("leading_dense_block_count", mostOfFacts.layers) ?? 0;
  }

  /** Routed experts per layer; 0 for a dense model. */
  get experts(): number {
    return this.#optional("expert_count", mostOfFacts.experts) ?? 0;
  }

  /** Routed experts that see a token. */
  get expertsUsed(): number {
    if (this.experts === 0) {
      return 0;
    }
    return (
      this.#perLayer("expert_used_count", 0, mostOfFacts.experts) ??
      this.#fail("expert_used_count", "experts per token")
    );
  }

  /** Experts that see every token. */
  get sharedExperts(): number {
    return this.#optional("expert_shared_count", mostOfFacts.experts) ?? 0;
  }

  /** Width of the residual stream. */
  get embeddingLength(): number {
    return this.#required("embedding_length", "the embedding width", mostOfFacts.width);
  }

  /** Width of the dense feed-forward part of a layer. */
  feedForwardLength(layer = 0): number {
    return (
      this.#perLayer("feed_forward_length", layer, mostOfFacts.width) ??
      this.#fail("feed_forward_length", "the feed-forward width")
    );
  }

  /** Width of a routed expert; models without their own key use the feed-forward width. */
  expertFeedForwardLength(layer = 0): number {
    return (
      this.#perLayer("expert_feed_forward_length", layer, mostOfFacts.width) ?? this.feedForwardLength(layer)
    );
  }

  /** Query heads of a layer; 0 where a layer has no attention. */
  heads(layer = 0): number {
    return (
      this.#perLayer("attention.head_count", layer, mostOfFacts.heads) ??
      this.#fail("attention.head_count", "the number of attention heads")
    );
  }

  /** Key and value heads of a layer; as many as query heads if the file does not say. */
  keyValueHeads(layer = 0): number {
    return this.#perLayer("attention.head_count_kv", layer, mostOfFacts.heads) ?? this.heads(layer);
  }

  /**
   * Query heads that share one key and value head in a layer, rounded down; 0 without attention
   * (`llama_hparams::n_gqa`).
   */
  headsPerKeyValueHead(layer = 0): number {
    if (!this.hasHeads) {
      return 0;
    }
    const keyValueHeads = this.keyValueHeads(layer);
    return keyValueHeads === 0 ? 0 : Math.floor(this.heads(layer) / keyValueHeads);
  }

  /** Whether the file speaks of attention heads at all. */
  get hasHeads(): boolean {
    return this.#metadata.has(this.#key("attention.head_count"));
  }

  /** Width of a key head. */
  get keyLength(): number {
    return (
      this.#optional("attention.key_length", mostOfFacts.width) ??
      Math.floor(this.embeddingLength / this.heads())
    );
  }

  /** Width of a value head. */
  get valueLength(): number {
    return (
      this.#optional("attention.value_length", mostOfFacts.width) ??
      Math.floor(this.embeddingLength / this.heads())
    );
  }

  /** Longest context the model was trained for. */
  get contextLength(): number {
    return this.#required("context_length", "the context length", mostOfFacts.context);
  }

  /** Tokens in the vocabulary. */
  get vocabularySize(): number {
    const tokens = this.#metadata.get("tokenizer.ggml.tokens");
    const size =
      this.#optional("vocab_size", mostOfFacts.vocabulary) ??
      (tokens?.type === "array" ? tokens.value.length : undefined);
    return size ?? this.#fail("vocab_size", "the vocabulary's size");
  }

  /** Any other whole number under the architecture's own prefix, or undefined. */
  number(key: string): number | undefined {
    return this.#optional(key);
  }

  /**
   * Any other value under the architecture's own prefix that may differ between layers; booleans are 0 and 1.
   * Undefined if the file does not have the key.
   */
  layerNumber(key: string, layer: number): number | undefined {
    return this.#perLayer(key, layer);
  }

  /** Whether a list under the architecture's own prefix has a number. */
  lists(key: string, number: number): boolean {
    const list = this.#metadata.get(this.#key(key));
    return list?.type === "array" && list.value.some((value) => Number(value) === number);
  }

  /** Whether a key under the architecture's own prefix has one value for each layer. */
  isPerLayer(key: string): boolean {
    return this.#metadata.get(this.#key(key))?.type === "array";
  }

  #key(key: string): string {
    return `${this.name}.${key}`;
  }

  #optional(key: string, highest: number = mostOfOthers): number | undefined {
    const value = metadataNumber(this.#metadata, this.#key(key));
    return value === undefined ? undefined : this.#bounded(key, value, highest);
  }

  #required(key: string, meaning: string, highest: number): number {
    return this.#optional(key, highest) ?? this.#fail(key, meaning);
  }

  /** A value that is one number for all layers, or an array with one per layer. */
  #perLayer(key: string, layer: number, highest: number = mostOfOthers): number | undefined {
    const entry = this.#metadata.get(this.#key(key));
    if (entry === undefined) {
      return undefined;
    }
    const value = entry.type === "array" ? entry.value[layer] : entry.value;
    if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") {
      return this.#bounded(key, Number(value), highest);
    }
    throw new MalformedInputError(
      `metadata key ${quoted(this.#key(key))} has no number for layer ${layer}; the file is damaged or was written by another tool.`,
      { key: this.#key(key), layer },
    );
  }

  #bounded(key: string, value: number, highest: number): number {
    if (Math.abs(value) <= highest) {
      return value;
    }
    throw new MalformedInputError(
      `metadata key ${quoted(this.#key(key))} is ${value}, but no model has more than ${highest}; the file is damaged or hostile.`,
      { key: this.#key(key), found: value, most: highest },
    );
  }

  #fail(key: string, meaning: string): never {
    throw missing(this.#key(key), meaning);
  }
}

function missing(key: string, meaning: string): MalformedInputError {
  return new MalformedInputError(
    `metadata key "${key}" (${meaning}) is missing; add it with \`overrideKv\` or use another file.`,
    { key },
  );
}
