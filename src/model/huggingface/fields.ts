/** JSON files of a model's folder, and their fields with checked types. */
import type { Folder } from "../../bytes/folder.js";
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue, readJson } from "../../bytes/json.js";
import { MalformedInputError } from "../../errors.js";

/** Largest JSON file read whole. The largest real ones, tokenizers of 260 000 tokens, have 35 MB. */
const maxJsonBytes = 268_435_456;

/** Far above any size, count or context of a model, and low enough that what is computed of it comes to an end. */
const mostOfSizes = 2 ** 24;

/** The fields of a JSON object in a file, read with their types checked. `null` counts as absent. */
export class Fields {
  /** What to call the file in messages. */
  readonly file: string;
  readonly json: JsonObject;

  constructor(file: string, json: JsonObject) {
    this.file = file;
    this.json = json;
  }

  /** Reads a JSON file of a folder; undefined if there is none. */
  static async read(folder: Folder, file: string): Promise<Fields | undefined> {
    const source = await folder.open(file);
    if (!source) {
      return undefined;
    }
    try {
      const json = await readJson(source, maxJsonBytes);
      if (isJsonObject(json)) {
        return new Fields(source.name, json);
      }
      throw new MalformedInputError(`${source.name}: is not a JSON object; download it again.`, {
        file: source.name,
      });
    } finally {
      await source.close();
    }
  }

  has(key: string): boolean {
    return this.value(key) !== undefined;
  }

  value(key: string): JsonValue | undefined {
    return this.json.get(key) ?? undefined;
  }

  /** A whole number from 0 to `most`. */
  count(key: string, most: number = mostOfSizes): number | undefined {
    const value = this.value(key);
    if (value === undefined) {
      return undefined;
    }
    if (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= most) {
      return Number(value);
    }
    return this.wrong(key, `a whole number from 0 to ${most}`);
  }

  requireCount(key: string, most?: number): number {
    return this.count(key, most) ?? this.wrong(key, "a whole number");
  }

  /** A whole number that fits 32 bits with a sign. */
  integer(key: string): number | undefined {
    const value = this.number(key);
    return value === undefined || value === (value | 0) ? value : this.wrong(key, "a whole number");
  }

  /** A count of at least one. */
  requireSize(key: string, most?: number): number {
    return this.requireCount(key, most) || this.wrong(key, "a whole number from 1 on");
  }

  number(key: string): number | undefined {
    const value = this.value(key);
    return value === undefined || typeof value === "number" ? value : this.wrong(key, "a number");
  }

  requireNumber(key: string): number {
    return this.number(key) ?? this.wrong(key, "a number");
  }

  flag(key: string): boolean | undefined {
    const value = this.value(key);
    return value === undefined || typeof value === "boolean" ? value : this.wrong(key, "true or false");
  }

  string(key: string): string | undefined {
    const value = this.value(key);
    return value === undefined || typeof value === "string" ? value : this.wrong(key, "a string");
  }

  object(key: string): Fields | undefined {
    const value = this.value(key);
    if (value === undefined) {
      return undefined;
    }
    return isJsonObject(value) ? new Fields(this.file, value) : this.wrong(key, "an object");
  }

  requireObject(key: string): Fields {
    return this.object(key) ?? this.wrong(key, "an object");
  }

  /** The same file's fields with others in their place: what stands in `values` counts before what is here. */
  merged(values: JsonObject): Fields {
    return new Fields(this.file, new Map([...this.json, ...values]));
  }

  /** Other fields of the same file. */
  with(values: JsonObject): Fields {
    return new Fields(this.file, values);
  }

  /** The first of the fields that is an object. */
  firstObject(): Fields | undefined {
    const value = [...this.json.values()].find(isJsonObject);
    return value && new Fields(this.file, value);
  }

  /** The items of an array; none if it is absent. */
  items(key: string): readonly JsonValue[] {
    const value = this.value(key);
    return value === undefined ? [] : isJsonArray(value) ? value : this.wrong(key, "an array");
  }

  /** The items of an array of objects; none if it is absent. */
  objects(key: string): readonly Fields[] {
    return this.items(key).map((item) =>
      isJsonObject(item) ? new Fields(this.file, item) : this.wrong(key, "an array of objects"),
    );
  }

  /** Throws that the value of `key` is not what is expected. */
  wrong(key: string, expected: string): never {
    const value = this.value(key);
    const found =
      value === undefined ? "is missing" : `is ${isJsonObject(value) ? "an object" : JSON.stringify(value)}`;
    throw new MalformedInputError(`${this.file}: "${key}" ${found}, but ${expected} is expected.`, {
      file: this.file,
      key,
    });
  }
}
