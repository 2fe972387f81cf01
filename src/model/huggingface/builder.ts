/** Metadata keys in the order of the file, with GGUF's types. */
import type { Metadata, MetadataValue } from "../../gguf/metadata.js";

/** Collects metadata keys in file order. `undefined` writes nothing, like an absent field of the source. */
export class MetadataBuilder {
  readonly entries = new Map<string, MetadataValue>();

  uint32(key: string, value: number | undefined): this {
    return this.#set(key, value === undefined ? undefined : { type: "uint32", value });
  }

  int32(key: string, value: number | undefined): this {
    return this.#set(key, value === undefined ? undefined : { type: "int32", value });
  }

  /** Rounds to float32, as the file keeps it. */
  float32(key: string, value: number | undefined): this {
    return this.#set(key, value === undefined ? undefined : { type: "float32", value: Math.fround(value) });
  }

  flag(key: string, value: boolean | undefined): this {
    return this.#set(key, value === undefined ? undefined : { type: "bool", value });
  }

  string(key: string, value: string | undefined): this {
    return this.#set(key, value === undefined ? undefined : { type: "string", value });
  }

  /** An empty array is not written. */
  strings(key: string, value: readonly string[] | undefined): this {
    return this.#set(key, value?.length ? { type: "array", itemType: "string", value } : undefined);
  }

  /** An empty array is not written. */
  int32s(key: string, value: readonly number[]): this {
    return this.#set(key, value.length ? { type: "array", itemType: "int32", value } : undefined);
  }

  /** An empty array is not written. */
  bytes(key: string, value: Uint8Array): this {
    return this.#set(key, value.length ? { type: "array", itemType: "uint8", value: [...value] } : undefined);
  }

  /** An empty array is not written. */
  float32s(key: string, value: readonly number[]): this {
    const rounded = value.map(Math.fround);
    return this.#set(key, value.length ? { type: "array", itemType: "float32", value: rounded } : undefined);
  }

  /** An empty array is not written. */
  flags(key: string, value: readonly boolean[]): this {
    return this.#set(key, value.length ? { type: "array", itemType: "bool", value } : undefined);
  }

  /** Appends all keys of `other`. */
  add(other: Metadata): this {
    for (const [key, value] of other) {
      this.entries.set(key, value);
    }
    return this;
  }

  #set(key: string, value: MetadataValue | undefined): this {
    if (value) {
      this.entries.set(key, value);
    }
    return this;
  }
}
