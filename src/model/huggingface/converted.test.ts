/**
 * The checkpoints of `fixtures/convert` against what llama.cpp's own converter made of them (its README says how).
 * Each folder is a model, each `expected*.json` in it a test.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { type Folder, LocalFolder } from "../../bytes/folder.js";
import type { ByteSource } from "../../bytes/source.js";
import type { MetadataValue } from "../../gguf/metadata.js";
import { decodeRows, encodeRows } from "../../quants/codec.js";
import { rowBytes, type TypeName } from "../../quants/types.js";
import { rowCount, type SourceTensor } from "../source.js";
import { parseConversionTarget } from "./conversion.js";
import type { ConversionOptions, HuggingFaceModel } from "./model.js";
import { openHuggingFaceModel } from "./open.js";

const root = "fixtures/convert";

interface Expected {
  readonly architecture: string;
  readonly flags: readonly string[];
  readonly metadata: Readonly<Record<string, { readonly type: string; readonly value: unknown }>>;
  readonly omittedKeys: readonly string[];
  readonly tensors: readonly {
    readonly name: string;
    readonly type: string;
    readonly shape: readonly number[];
    readonly sha256: string;
    /** Values that the converter computed in single precision. */
    readonly approximate?: readonly number[];
  }[];
}

/** A checkpoint with the tokenizer that all of them share. */
class CheckpointFolder implements Folder {
  readonly name: string;
  readonly #folders: readonly Folder[];

  constructor(name: string, folders: readonly Folder[]) {
    this.name = name;
    this.#folders = folders;
  }

  async list(subfolder?: string): Promise<readonly string[]> {
    const lists = await Promise.all(this.#folders.map((folder) => folder.list(subfolder)));
    return lists.flat().sort();
  }

  async open(file: string): Promise<ByteSource | undefined> {
    for (const folder of this.#folders) {
      const source = await folder.open(file);
      if (source) {
        return source;
      }
    }
    return undefined;
  }
}

function optionsOf(flags: readonly string[]): ConversionOptions & { readonly target: string } {
  return {
    target: flags[flags.indexOf("--outtype") + 1] ?? "bf16",
    prediction: flags.includes("--mtp") ? "only" : flags.includes("--no-mtp") ? "none" : undefined,
    fuseGateAndUp: flags.includes("--fuse-gate-up-exps"),
    fp8AsQ8: flags.includes("--fp8-as-q8"),
    mmproj: flags.includes("--mmproj"),
  };
}

/** All bytes of a tensor in a type, encoded in slices of an awkward number of rows. */
async function convertedBytes(tensor: SourceTensor, type: TypeName): Promise<Uint8Array> {
  const columns = tensor.shape[0] ?? 1;
  const rows = rowCount(tensor.shape);
  const stride = rowBytes(type, columns);
  const out = new Uint8Array(rows * stride);
  for (let first = 0; first < rows; first += 23) {
    const count = Math.min(23, rows - first);
    const bytes = await tensor.readRows(first, count);
    const place = out.subarray(first * stride, (first + count) * stride);
    if (type === tensor.type) {
      place.set(bytes);
    } else {
      const weights = new Float32Array(count * columns);
      decodeRows(tensor.type, bytes, weights);
      encodeRows(type, weights, columns, undefined, place);
    }
  }
  return out;
}

const typeNames: Readonly<Record<string, string>> = {
  uint32: "u32",
  int32: "i32",
  float32: "f32",
  bool: "bool",
  string: "string",
};

function described(value: MetadataValue): unknown {
  const type =
    value.type === "array" ? `array of ${typeNames[value.itemType]}` : (typeNames[value.type] ?? value.type);
  return { type, value: value.value };
}

for (const folder of readdirSync(root, { withFileTypes: true })) {
  const files = folder.isDirectory() ? readdirSync(`${root}/${folder.name}`) : [];
  for (const file of files.filter((name) => name.startsWith("expected"))) {
    const expected: Expected = JSON.parse(readFileSync(`${root}/${folder.name}/${file}`, "utf8"));
    test(`${folder.name} with ${expected.flags.join(" ")} is what llama.cpp's converter makes of it`, async (t) => {
      const folders = [
        await LocalFolder.open(`${root}/${folder.name}/hf`),
        await LocalFolder.open(`${root}/tokenizer`),
      ];
      const { target: outtype, ...options } = optionsOf(expected.flags);
      const model = await openHuggingFaceModel(new CheckpointFolder(folder.name, folders), options);
      t.after(() => model.close());
      const target = parseConversionTarget(outtype);
      assert.deepEqual(metadataOf(model, expected, model.fileType(target)), expected.metadata);
      const tensors = [];
      for (const tensor of model.tensors) {
        const type = model.conversionType(tensor, target);
        const bytes = await convertedBytes(tensor, type);
        const sha256 = createHash("sha256").update(bytes).digest("hex");
        tensors.push({ name: tensor.name, type, shape: tensor.shape, sha256, bytes });
      }
      compareTensors(tensors, expected);
    });
  }
}

function metadataOf(model: HuggingFaceModel, expected: Expected, fileType: number): unknown {
  const metadata = new Map(model.metadata);
  metadata.set("general.file_type", { type: "uint32", value: fileType });
  const omitted = new Set(expected.omittedKeys);
  return Object.fromEntries(
    [...metadata]
      .filter(([key]) => !omitted.has(key))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, described(value)]),
  );
}

interface Converted {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly sha256: string;
  readonly bytes: Uint8Array;
}

/** Names, types and shapes of all, then the bytes, or the values where the converter used single precision. */
function compareTensors(tensors: readonly Converted[], expected: Expected): void {
  const described = (list: readonly Pick<Converted, "name" | "type" | "shape">[]) =>
    list.map(({ name, type, shape }) => `${name} ${type} ${shape.join("x")}`).sort();
  assert.deepEqual(described(tensors), described(expected.tensors));
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const hashes = (list: readonly Pick<Converted, "name" | "sha256">[]) =>
    Object.fromEntries(list.map(({ name, sha256 }) => [name, sha256]));
  const exact = expected.tensors.filter(({ approximate }) => approximate === undefined);
  const ours = exact.flatMap(({ name }) => byName.get(name) ?? []);
  assert.deepEqual(hashes(ours), hashes(exact));
  for (const { name, approximate } of expected.tensors) {
    const bytes = byName.get(name)?.bytes;
    if (approximate && bytes) {
      const values = new Float32Array(approximate.length);
      decodeRows("F32", bytes, values);
      for (const [index, value] of approximate.entries()) {
        const difference = Math.abs((values[index] ?? 0) - value);
        assert.ok(
          difference <= 4 * 2 ** -23 * Math.abs(value),
          `${name} ${index}: ${values[index]}, ${value}`,
        );
      }
    }
  }
}
