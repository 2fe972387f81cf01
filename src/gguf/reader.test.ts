import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { FileSource, MemorySource } from "../bytes/source.js";
import { types } from "../quants/types.js";
import { ggufBytes } from "../testing/gguf-file.js";
import { planGguf } from "./layout.js";
import { readGgufHeader } from "./reader.js";

const tinyModel = fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url));

describe("reading a GGUF header", () => {
  it("reads the shipped model, whose header can be written again byte for byte", async (t) => {
    const source = await FileSource.open(tinyModel);
    t.after(() => source.close());
    const header = await readGgufHeader(source);
    const layout = planGguf(header);
    assert.deepEqual(layout.header, await source.read(0, header.dataOffset));
    assert.deepEqual(layout.tensors, header.tensors);
    assert.equal(layout.byteLength, source.byteLength);
  });

  it("reads tensors of every type", async () => {
    const tensors = [...types.keys()].map((type) => ({ name: type, shape: [256, 2], type }));
    const bytes = ggufBytes({ tensors });
    const header = await readGgufHeader(new MemorySource("all.gguf", bytes));
    assert.deepEqual(
      header.tensors.map(({ name, shape, type }) => ({ name, shape, type })),
      tensors,
    );
  });
});
