import assert from "node:assert/strict";
import { test } from "node:test";
import type { Metadata } from "../../../gguf/metadata.js";
import { type Files, MemoryFolder } from "../../../testing/memory-folder.js";
import { Fields } from "../fields.js";
import { generalMetadata } from "./general.js";

async function general(files: Files, name = "/models/tiny-moe", config: object = {}): Promise<Metadata> {
  const folder = new MemoryFolder(name, { ...files, "config.json": config });
  const fields = (await Fields.read(folder, "config.json"))!;
  const metadata = await generalMetadata(folder, fields, {
    architecture: "qwen3moe",
    parameters: 30_532_122_624,
    sizeLabel: "128x0.9B",
  });
  assert.deepEqual(folder.unclosed, []);
  return metadata;
}

function lines(metadata: Metadata): readonly string[] {
  return [...metadata].map(([key, { type, value }]) => `${key} ${type} ${JSON.stringify(value)}`);
}

const card = `---
library_name: transformers
license: apache-2.0
license_link: https://example.com/LICENSE
pipeline_tag: text-generation
tags:
- moe
- code
language:
\t- en
\t- no
base_model:
- Qwen/Qwen3-30B-A3B-Base
- https://huggingface.co/mistralai/Mistral-7B-v0.1
- https://example.com/models/x
- { name: X, organization: Y, repo_url: "https://example.com/y" }
datasets: wikitext
version: 1.0
author:
---
# A model
`;

test("a model card's license, tags, origins and languages become the keys that llama.cpp writes", async () => {
  assert.deepEqual(lines(await general({ "README.md": card }, "/models/Qwen3-Coder-30B-A3B-Instruct")), [
    'general.architecture string "qwen3moe"',
    'general.type string "model"',
    'general.name string "Qwen3 Coder 30B A3B Instruct"',
    'general.version string "1.0"',
    'general.finetune string "Instruct"',
    'general.basename string "Qwen3-Coder"',
    'general.size_label string "30B-A3B"',
    'general.license string "apache-2.0"',
    'general.license.link string "https://example.com/LICENSE"',
    "general.base_model.count uint32 4",
    'general.base_model.0.name string "Qwen3 30B A3B Base"',
    'general.base_model.0.organization string "Qwen"',
    'general.base_model.0.repo_url string "https://huggingface.co/Qwen/Qwen3-30B-A3B-Base"',
    'general.base_model.1.name string "Mistral 7B v0.1"',
    'general.base_model.1.version string "v0.1"',
    'general.base_model.1.organization string "Mistralai"',
    'general.base_model.1.repo_url string "https://huggingface.co/mistralai/Mistral-7B-v0.1"',
    'general.base_model.2.repo_url string "https://example.com/models/x"',
    'general.base_model.3.name string "X"',
    'general.base_model.3.organization string "Y"',
    'general.base_model.3.repo_url string "https://example.com/y"',
    "general.dataset.count uint32 1",
    'general.dataset.0.name string "Wikitext"',
    'general.tags array ["moe","code","text-generation"]',
    'general.languages array ["en","no"]',
  ]);
});

test("without a model card the folder's name and the counted weights must do", async () => {
  assert.deepEqual(lines(await general({})), [
    'general.architecture string "qwen3moe"',
    'general.type string "model"',
    'general.name string "Tiny Moe"',
    'general.size_label string "128x0.9B"',
  ]);
});

test("a name in config.json counts before the folder's, unless it is a path", async () => {
  const nameFor = async (path: string) =>
    (await general({}, "/models/folder", { _name_or_path: path })).get("general.name")?.value;
  assert.equal(await nameFor("Qwen/Qwen3-30B-A3B"), "Qwen3 30B A3B");
  assert.equal(await nameFor("/home/someone/checkpoint"), "Folder");
  assert.equal(await nameFor(""), "Folder");
});

test("recommended sampling comes from generation_config.json", async () => {
  const config = { temperature: 0.7, top_k: 20, top_p: 0.8, repetition_penalty: 1.05, eos_token_id: [1, 2] };
  const keys = lines(await general({ "generation_config.json": config })).filter((line) =>
    line.includes("sampling"),
  );
  assert.deepEqual(keys, [
    "general.sampling.top_k int32 20",
    `general.sampling.top_p float32 ${Math.fround(0.8)}`,
    `general.sampling.temp float32 ${Math.fround(0.7)}`,
    `general.sampling.penalty_repeat float32 ${Math.fround(1.05)}`,
  ]);
});

test("a model card that is not YAML is refused; one without front matter is passed over", async () => {
  await assert.rejects(general({ "README.md": "---\nlicense: [mit\n---\n" }), {
    name: "MalformedInputError",
    message:
      /^\/models\/tiny-moe\/README\.md: the block between the "---" lines is not YAML: .* Mend it, or take the file away\.$/,
  });
  for (const text of ["", "# Title\n---\nlicense: mit\n---\n", "---\n---\n", "---\n- a list\n---\n"]) {
    assert.equal((await general({ "README.md": text })).get("general.license"), undefined);
  }
});

test("a card whose aliases would grow without bound is refused", async () => {
  const bomb = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 9; i++) {
    const [name, previous] = ["abcdefghij"[i], "abcdefghij"[i - 1]];
    bomb.push(`${name}: &${name} [${Array(10).fill(`*${previous}`).join(", ")}]`);
  }
  await assert.rejects(general({ "README.md": `---\n${bomb.join("\n")}\n---\n` }), {
    name: "MalformedInputError",
  });
});
