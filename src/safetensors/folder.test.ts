import assert from "node:assert/strict";
import { test } from "node:test";
import { type Files, MemoryFolder } from "../testing/memory-folder.js";
import { safetensorsBytes } from "../testing/safetensors-file.js";
import { openSafetensorsFolder } from "./folder.js";

/** A file with one float32 in each of the tensors. */
function shard(...names: readonly string[]): Uint8Array {
  const tensor = { dtype: "F32", shape: [1], data: new Uint8Array(4) };
  return safetensorsBytes(Object.fromEntries(names.map((name) => [name, tensor])));
}

const one = "model-00001-of-00002.safetensors";
const two = "model-00002-of-00002.safetensors";
const indexed = (weightMap: object, files: Files): Files => ({
  ...files,
  "model.safetensors.index.json": { metadata: { total_size: 8 }, weight_map: weightMap },
});

test("a single file gives its tensors sorted by name", async () => {
  const folder = new MemoryFolder("m", {
    "model.safetensors": shard("b", "a", "c"),
    "other.safetensors": "x",
  });
  const { tensors, files, byteLength, close } = await openSafetensorsFolder(folder);
  assert.deepEqual([...tensors.keys()], ["a", "b", "c"]);
  assert.deepEqual(
    files.map(({ name }) => name),
    ["m/model.safetensors"],
  );
  assert.equal(byteLength, shard("b", "a", "c").length);
  await close();
  assert.deepEqual(folder.unclosed, []);
});

test("shards give their tensors file by file, each knowing its file", async () => {
  const folder = new MemoryFolder(
    "m",
    indexed({ a: two, z: one, b: two }, { [one]: shard("z"), [two]: shard("b", "a") }),
  );
  const { tensors, files } = await openSafetensorsFolder(folder);
  assert.deepEqual(
    [...tensors].map(([name, { source }]) => [name, source.name]),
    [
      ["z", `m/${one}`],
      ["a", `m/${two}`],
      ["b", `m/${two}`],
    ],
  );
  assert.deepEqual(
    files.map(({ name }) => name),
    [`m/${one}`, `m/${two}`],
  );
});

test("a complete model.safetensors beside the index of another model is used", async () => {
  const folder = new MemoryFolder(
    "m",
    indexed({ z: one, a: two }, { "model.safetensors": shard("b", "c"), [one]: shard("z") }),
  );
  const { tensors, close } = await openSafetensorsFolder(folder);
  assert.deepEqual([...tensors.keys()], ["b", "c"]);
  await close();
  assert.deepEqual(folder.unclosed, []);
});

test("shards without an index are taken together", async () => {
  const folder = new MemoryFolder("m", { [one]: shard("z"), [two]: shard("a") });
  assert.deepEqual([...(await openSafetensorsFolder(folder)).tensors.keys()], ["z", "a"]);
});

const refused: readonly [what: string, files: Files, message: string][] = [
  [
    "a folder without safetensors",
    { "pytorch_model.bin": "x" },
    "m: has no model.safetensors and no model.safetensors.index.json; name a Hugging Face folder with safetensors files.",
  ],
  [
    "a missing shard",
    indexed({ a: one, b: two }, { [one]: shard("a") }),
    `m: "${two}" is missing, though model.safetensors.index.json names it; download it.`,
  ],
  [
    "a tensor that its shard lacks",
    indexed({ a: one, b: one }, { [one]: shard("a") }),
    `m/${one}: tensor "b" is missing, though model.safetensors.index.json says it is there; download the file again.`,
  ],
  [
    "a tensor that lies in another shard than the index says",
    indexed({ a: one, b: one, c: two }, { [one]: shard("a"), [two]: shard("b", "c") }),
    `m/${one}: tensor "b" is missing, though model.safetensors.index.json says it is there; download the file again.`,
  ],
  [
    "a tensor that the index lacks",
    indexed({ a: one }, { [one]: shard("a", "b") }),
    `m/${one}: tensor "b" is not in model.safetensors.index.json; the index belongs to other files.`,
  ],
  [
    "a tensor in two shards",
    { [one]: shard("a"), [two]: shard("a") },
    `m/${two}: tensor "a" is also in m/${one}; keep only one of the files.`,
  ],
  [
    "an index without a map",
    { "model.safetensors.index.json": { weight_map: [] } },
    'm/model.safetensors.index.json: has no "weight_map" object; download it again.',
  ],
];

for (const [what, files, message] of refused) {
  test(`${what} is refused, and no file stays open`, async () => {
    const folder = new MemoryFolder("m", files);
    await assert.rejects(openSafetensorsFolder(folder), { name: "MalformedInputError", message });
    assert.deepEqual(folder.unclosed, []);
  });
}

test("a shard's name that leads out of the folder is refused", async () => {
  for (const name of [
    "../secret.safetensors",
    "/etc/x.safetensors",
    "a/b.safetensors",
    "a\\b.safetensors",
    "C:x.safetensors",
    ".hidden.safetensors",
    "..",
    "model.bin",
    "",
    5,
    null,
  ]) {
    await assert.rejects(openSafetensorsFolder(new MemoryFolder("m", indexed({ t: name }, {}))), {
      name: "MalformedInputError",
      message: `m/model.safetensors.index.json: tensor "t" is said to be in ${JSON.stringify(name)}, which is not the name of a safetensors file in the same folder.`,
    });
  }
});
