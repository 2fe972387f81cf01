import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { openHuggingFaceModel } from "../model/huggingface/open.js";
import { tinyFiles } from "../testing/hugging-face-model.js";
import { temporaryFolder } from "../testing/temporary.js";
import { LocalFolder } from "./folder.js";

it("a file outside a folder is not opened through the folder", async (t) => {
  const parent = await temporaryFolder(t);
  await mkdir(join(parent, "model"));
  await writeFile(join(parent, "secret.json"), "{}");
  const folder = await LocalFolder.open(join(parent, "model"));
  const names = [
    "../secret.json",
    "x/../../secret.json",
    join(parent, "secret.json"),
    "..\\secret.json",
    "",
    ".",
  ];
  for (const name of names) {
    await assert.rejects(folder.open(name), {
      name: "MalformedInputError",
      message: `${folder.name}: "${name}" leads out of the folder; it is not opened.`,
    });
  }
  assert.equal(await folder.open("secret.json"), undefined);
});

it("neither a shard's name nor a chat template's leads out of a model's folder", async (t) => {
  const parent = await temporaryFolder(t);
  const path = join(parent, "model");
  await mkdir(path);
  const files = tinyFiles();
  await writeFile(join(parent, "model.safetensors"), files["model.safetensors"]);
  await writeFile(join(parent, "secret"), "SECRET");
  await writeFile(join(path, "config.json"), JSON.stringify(files["config.json"]));
  await writeFile(join(path, "tokenizer.json"), JSON.stringify(files["tokenizer.json"]));
  const folder = await LocalFolder.open(path);
  for (const shard of ["../model.safetensors", join(parent, "model.safetensors"), "..\\model.safetensors"]) {
    const index = { weight_map: { "lm_head.weight": shard } };
    await writeFile(join(path, "model.safetensors.index.json"), JSON.stringify(index));
    await assert.rejects(openHuggingFaceModel(folder), {
      name: "MalformedInputError",
      message: /which is not the name of a safetensors file in the same folder/,
    });
  }
  await writeFile(join(path, "model.safetensors"), files["model.safetensors"]);
  const index = {
    weight_map: Object.fromEntries(
      tensorNames(files["model.safetensors"]).map((name) => [name, "model.safetensors"]),
    ),
  };
  await writeFile(join(path, "model.safetensors.index.json"), JSON.stringify(index));
  const template = { name: "../../secret", template: "{% include '../secret' %}" };
  await writeFile(join(path, "tokenizer_config.json"), JSON.stringify({ chat_template: [template] }));
  const model = await openHuggingFaceModel(folder);
  t.after(() => model.close());
  // The template is text that is passed on; nothing that it names is opened.
  assert.deepEqual(model.metadata.get("tokenizer.chat_template.______secret"), {
    type: "string",
    value: template.template,
  });
});

function tensorNames(safetensors: Uint8Array): string[] {
  const length = Number(Buffer.from(safetensors).readBigUInt64LE(0));
  const header = JSON.parse(Buffer.from(safetensors.subarray(8, 8 + length)).toString());
  return Object.keys(header).filter((name) => name !== "__metadata__");
}
