/** The tables of metadata keys: what a key is called, its type, and where in config.json its value comes from. */
import { isJsonArray, type JsonValue } from "../../bytes/json.js";
import type { Metadata } from "../../gguf/metadata.js";
import { MetadataBuilder } from "./builder.js";
import type { Fields } from "./fields.js";
import type { LayerCount } from "./layer-count.js";
import type { Sizes } from "./tensor-rules.js";

/** What a value may be computed from. */
export interface MetadataContext {
  /** config.json, with what is in `text_config` beside the rest. */
  readonly config: Fields;
  /** Parameters of rotary position embeddings, wherever config.json has them; see `ropeParameters`. */
  readonly rope: Fields;
  readonly sizes: Sizes;
  readonly layers: LayerCount;
}

type Value = number | boolean | string | readonly number[] | readonly boolean[] | undefined;

export interface MetadataRule {
  /** Under the architecture's name. */
  readonly key: string;
  readonly add: (builder: MetadataBuilder, key: string, context: MetadataContext) => void;
}

/** Name of the field in config.json, several of which the first that is there counts, or a function. */
type From<T extends Value> = string | readonly string[] | ((context: MetadataContext) => T | undefined);

export function uint32(key: string, from: From<number>): MetadataRule {
  const read = reader(from, (config, name) => config.count(name, 2 ** 32 - 1));
  return { key, add: (builder, name, context) => builder.uint32(name, read(context)) };
}

export function float32(key: string, from: From<number>): MetadataRule {
  const read = reader(from, (config, name) => config.number(name));
  return { key, add: (builder, name, context) => builder.float32(name, read(context)) };
}

export function bool(key: string, from: From<boolean>): MetadataRule {
  const read = reader(from, (config, name) => config.flag(name));
  return { key, add: (builder, name, context) => builder.flag(name, read(context)) };
}

export function text(key: string, from: From<string>): MetadataRule {
  const read = reader(from, (config, name) => config.string(name));
  return { key, add: (builder, name, context) => builder.string(name, read(context)) };
}

export function int32s(key: string, from: From<readonly number[]>): MetadataRule {
  const read = reader(from, integers);
  return { key, add: (builder, name, context) => builder.int32s(name, read(context) ?? []) };
}

export function float32s(key: string, from: From<readonly number[]>): MetadataRule {
  const read = reader(from, (config, name) => numbers(config, name));
  return { key, add: (builder, name, context) => builder.float32s(name, read(context) ?? []) };
}

export function bools(key: string, from: From<readonly boolean[]>): MetadataRule {
  const read = reader(from, () => undefined);
  return { key, add: (builder, name, context) => builder.flags(name, read(context) ?? []) };
}

/** The rules without those for `keys`. */
export function without(rules: readonly MetadataRule[], ...keys: readonly string[]): MetadataRule[] {
  return rules.filter(({ key }) => !keys.includes(key));
}

/** The keys of an architecture. `general.` keys of the table stay what they are. */
export function metadataOf(
  architecture: string,
  rules: readonly MetadataRule[],
  context: MetadataContext,
): Metadata {
  const builder = new MetadataBuilder();
  for (const { key, add } of rules) {
    add(builder, key.startsWith("general.") ? key : `${architecture}.${key}`, context);
  }
  return builder.entries;
}

function reader<T extends Value>(
  from: From<T>,
  read: (config: Fields, name: string) => T | undefined,
): (context: MetadataContext) => T | undefined {
  if (typeof from === "function") {
    return from;
  }
  const names = typeof from === "string" ? [from] : from;
  return ({ config }) => {
    const name = names.find((one) => config.has(one));
    return name === undefined ? undefined : read(config, name);
  };
}

function integers(config: Fields, name: string): readonly number[] {
  const items = numbers(config, name);
  return items.every((item) => item === (item | 0)) ? items : config.wrong(name, "whole numbers");
}

function numbers(config: Fields, name: string): readonly number[] {
  const value = config.value(name);
  const isNumber = (item: JsonValue): item is number => typeof item === "number";
  return isJsonArray(value) && value.every(isNumber) ? value : config.wrong(name, "an array of numbers");
}
