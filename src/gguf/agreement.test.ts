/** Our reader and writer against two others: Hugging Face's parser and llama.cpp's own. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { GGUFValueType, gguf } from "@huggingface/gguf";
import { MemorySource } from "../bytes/source.js";
import { traitsOf } from "../quants/types.js";
import { ggmlReadGguf } from "../testing/ggml-gguf.js";
import { ggufBytes, plainMetadata } from "../testing/gguf-file.js";
import { nestedValues, sampleFiles, someTensors } from "../testing/gguf-samples.js";
import { temporaryFolder } from "../testing/temporary.js";
import { metadataTypeIds } from "./format.js";
import { planGguf } from "./layout.js";
import type { MetadataArray, MetadataValue } from "./metadata.js";
import { readGgufHeader } from "./reader.js";

const fixtures = fileURLToPath(new URL("../../fixtures/", import.meta.url));

/** Every file of the suite: those shipped, and the samples that we write. */
async function allFiles(): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of ["tiny-moe-q8_0.gguf", "reference/imatrix.gguf"]) {
    files.set(name, await readFile(join(fixtures, name)));
  }
  for (const [name, file] of Object.entries(sampleFiles)) {
    files.set(name, ggufBytes(file));
  }
  return files;
}

describe("llama.cpp", () => {
  it("writes every header again exactly as we lay it out, and finds the tensors where we put them", async () => {
    for (const [name, bytes] of await allFiles()) {
      const header = await readGgufHeader(new MemorySource(name, bytes));
      const theirs = ggmlReadGguf(bytes);
      assert.ok(theirs, name);
      assert.deepEqual(Buffer.from(theirs.header), Buffer.from(planGguf(header).header), name);
      assert.deepEqual(
        header.tensors.map(({ name, offset, byteLength }) => ({ name, offset, byteLength })),
        theirs.tensors,
        name,
      );
    }
  });
});

describe("Hugging Face's parser", () => {
  it("agrees on every key, value, tensor and offset of every file", async (t) => {
    for (const [name, bytes] of await allFiles()) {
      await compare(t, name, bytes);
    }
  });

  it("agrees on arrays of arrays", async (t) => {
    await compare(t, "nested", ggufBytes({ metadata: nestedValues, tensors: someTensors }));
  });

  it("agrees on version 2", async (t) => {
    const bytes = ggufBytes({ metadata: plainMetadata({ "general.name": "old" }), tensors: someTensors });
    bytes[4] = 2;
    await compare(t, "version 2", bytes);
  });

  async function compare(t: TestContext, name: string, bytes: Uint8Array): Promise<void> {
    const path = join(await temporaryFolder(t), "file.gguf");
    await writeFile(path, bytes);
    const theirs = await gguf(path, { allowLocalFile: true, typedMetadata: true });
    const ours = await readGgufHeader(new MemorySource(name, bytes));

    assert.equal(ours.version, theirs.metadata.version, name);
    const entries: Record<string, { type: GGUFValueType; subType?: GGUFValueType; value: unknown }> =
      theirs.typedMetadata;
    const [, , , ...typed] = Object.entries(entries); // theirs begin with version and counts
    assert.deepEqual(
      typed.map(([key, entry]) => [key, entry.type, entry.subType, entry.value]),
      [...ours.metadata]
        .filter(([key]) => key !== "__proto__") // lost in their plain objects
        .map(([key, value]) => [
          key,
          metadataTypeIds[value.type],
          value.type === "array" ? metadataTypeIds[value.itemType] : undefined,
          plain(value),
        ]),
      name,
    );
    assert.equal(ours.tensors.length, Number(theirs.metadata.tensor_count), name);
    if (ours.tensors.length > 0) {
      assert.equal(ours.dataOffset, Number(theirs.tensorDataOffset), name);
    }
    assert.deepEqual(
      ours.tensors.map(({ name, shape, type, offset }) => [name, shape, traitsOf(type).id, offset]),
      theirs.tensorInfos.map((info) => [
        info.name,
        info.shape.map(Number),
        info.dtype,
        Number(theirs.tensorDataOffset + info.offset),
      ]),
      name,
    );
  }
});

/** A value as Hugging Face's parser gives it: arrays of bare values. */
function plain(value: MetadataValue): unknown {
  if (value.type !== "array" || value.itemType !== "array") {
    return value.value;
  }
  return value.value.map((item: MetadataArray) => plain(item));
}

it("numbers the value types as Hugging Face's parser does", () => {
  for (const [type, id] of Object.entries(metadataTypeIds)) {
    assert.equal(id, GGUFValueType[type.toUpperCase() as keyof typeof GGUFValueType], type);
  }
});
