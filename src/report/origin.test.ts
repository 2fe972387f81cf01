import assert from "node:assert/strict";
import { test } from "node:test";
import type { Metadata, MetadataValue } from "../gguf/metadata.js";
import { describeOrigin, isRepository, repositoryOf } from "./origin.js";

const metadata = (values: Record<string, string | number | string[]>): Metadata =>
  new Map(
    Object.entries(values).map(([key, value]): [string, MetadataValue] => [
      key,
      typeof value === "string"
        ? { type: "string", value }
        : typeof value === "number"
          ? { type: "uint32", value }
          : { type: "array", itemType: "string", value },
    ]),
  );

test("the origin of a model is what its metadata says", () => {
  const origin = describeOrigin(
    "model.gguf",
    metadata({
      "general.architecture": "qwen3moe",
      "general.name": "Tiny MoE",
      "general.license": "apache-2.0",
      "general.source.repo_url": "https://huggingface.co/someone/tiny-moe",
      "general.base_model.count": 1,
      "general.base_model.0.repo_url": "https://huggingface.co/Qwen/Qwen3-30B-A3B",
      "general.tags": ["chat"],
      "general.languages": ["en"],
      "qwen3moe.context_length": 4096,
    }),
  );
  assert.deepEqual(origin, {
    name: "Tiny MoE",
    license: "apache-2.0",
    licenseName: undefined,
    licenseLink: undefined,
    repository: "someone/tiny-moe",
    baseModels: ["Qwen/Qwen3-30B-A3B"],
    tags: ["chat"],
    languages: ["en"],
    contextLength: 4096,
  });
});

test("a model on the Hub is its own origin, whatever its metadata says", () => {
  const said = metadata({ "general.source.repo_url": "https://huggingface.co/someone/else" });
  assert.equal(describeOrigin("hf://owner/name@main", said).repository, "owner/name");
});

test("a number of base models that no file can have does not matter", () => {
  assert.deepEqual(
    describeOrigin("x.gguf", metadata({ "general.base_model.count": 4294967295 })).baseModels,
    [],
  );
});

test("addresses on the Hub give repositories, others none", () => {
  for (const [address, id] of [
    ["hf://owner/name", "owner/name"],
    ["hf://owner/name@abc/file.gguf", "owner/name"],
    ["https://huggingface.co/owner/name/tree/main", "owner/name"],
    ["https://hf.co/owner/name", "owner/name"],
    ["https://example.com/owner/name", undefined],
    ["/home/me/owner/name", undefined],
    ["https://huggingface.co/owner/na me", undefined],
    ["https://huggingface.co/owner/[x](javascript:alert(1))", undefined],
    [undefined, undefined],
  ] as const) {
    assert.equal(repositoryOf(address), id, address);
  }
});

test("repository ids follow the Hub's rule", () => {
  for (const id of ["Qwen/Qwen3-30B-A3B", "a/b", "a.b/c_d"]) {
    assert.ok(isRepository(id), id);
  }
  for (const id of [
    "Qwen",
    "a/b/c",
    "a/b--c",
    "a/b..c",
    "a/b.git",
    "-a/b",
    "a/b-",
    "a/b\n",
    `a/${"b".repeat(96)}`,
  ]) {
    assert.ok(!isRepository(id), id);
  }
});
