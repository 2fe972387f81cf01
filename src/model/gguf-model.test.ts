import assert from "node:assert/strict";
import { readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { ByteSource } from "../bytes/source.js";
import { planGguf } from "../gguf/layout.js";
import type { MetadataValue } from "../gguf/metadata.js";
import { parseSplitName, splitPath } from "../gguf/splits.js";
import { rowBytes } from "../quants/types.js";
import { plainMetadata, randomData, type TestTensor, writeGgufFile } from "../testing/gguf-file.js";
import { CountingSource } from "../testing/sources.js";
import { temporaryFolder } from "../testing/temporary.js";
import { openGguf } from "./gguf-model.js";
import { rowCount } from "./source.js";

const tinyModel = fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url));

function splitKeys(no: number, count: number, tensors: number): Record<string, MetadataValue> {
  return {
    "split.no": { type: "uint16", value: no },
    "split.count": { type: "uint16", value: count },
    "split.tensors.count": { type: "int32", value: tensors },
  };
}

/** Tensors of a set of three files: the second has two. */
const shardTensors: readonly (readonly TestTensor[])[] = ["a", "bc", "d"].map((names, shard) =>
  [...names].map((name, index) => ({
    name,
    shape: [32, 2],
    type: "Q8_0" as const,
    data: randomData("Q8_0", [32, 2], 10 * shard + index),
  })),
);

/** Writes a set of three files and returns the path of the first. */
async function writeSet(t: TestContext, tensorCount = 4): Promise<string> {
  const prefix = join(await temporaryFolder(t), "m");
  for (const [index, tensors] of shardTensors.entries()) {
    const own: Record<string, string> = index === 0 ? { "general.name": "the model" } : {};
    await writeGgufFile(splitPath({ prefix, index, count: 3 }), {
      metadata: plainMetadata({ ...own, ...splitKeys(index, 3, tensorCount) }),
      tensors,
    });
  }
  return splitPath({ prefix, index: 0, count: 3 });
}

/** Path of another file of the set. */
function sibling(first: string, index: number): string {
  return splitPath({ ...parseSplitName(first)!, index });
}

describe("a GGUF file as a model", () => {
  it("gives the rows of any tensor, one stretch at a time", async (t) => {
    const model = await openGguf(tinyModel);
    t.after(() => model.close());
    const file = await readFile(tinyModel);
    assert.equal(model.byteLength, file.byteLength);
    const experts = model.tensors.find((tensor) => tensor.name === "blk.1.ffn_down_exps.weight")!;
    assert.deepEqual(experts.shape, [256, 256, 16]);
    const all = await experts.readRows(0, rowCount(experts.shape));
    const perRow = rowBytes(experts.type, 256);
    assert.equal(all.byteLength, 256 * 16 * perRow);
    assert.notEqual(file.indexOf(all), -1);
    assert.deepEqual(await experts.readRows(1000, 24), all.slice(1000 * perRow, 1024 * perRow));
    assert.deepEqual(await experts.readRows(4096, 0), new Uint8Array(0));
  });

  it("reads rows far beyond 4 GiB at their exact place", async () => {
    const tensors = [
      { name: "first", shape: [2048, 768, 4096], type: "BF16" as const },
      { name: "second", shape: [2048, 768, 4096], type: "BF16" as const },
    ];
    const { header, byteLength } = planGguf({ metadata: new Map(), tensors });
    const source: ByteSource = {
      name: "large.gguf",
      byteLength,
      async read(offset, length) {
        if (offset === 0) {
          return Buffer.concat([header], length);
        }
        const place = new Uint8Array(length);
        new DataView(place.buffer).setBigUint64(0, BigInt(offset));
        return place;
      },
      async close() {},
    };
    const model = await openGguf("large.gguf", async () => source);
    const row = Buffer.from(await model.tensors[1]!.readRows(768 * 4096 - 1, 1));
    assert.equal(Number(row.readBigUInt64BE()), byteLength - 4096);
    assert.ok(byteLength > 25e9);
  });

  it("refuses rows that a tensor does not have", async (t) => {
    const model = await openGguf(tinyModel);
    t.after(() => model.close());
    const norm = model.tensors.find((tensor) => tensor.name === "output_norm.weight")!;
    await assert.rejects(norm.readRows(1, 1), {
      name: "InternalError",
      message: 'rows 1 to 2 of tensor "output_norm.weight" were asked for; it has 1.',
    });
    await assert.rejects(norm.readRows(-1, 1), { name: "InternalError" });
    await assert.rejects(norm.readRows(0, 0.5), { name: "InternalError" });
  });

  it("closes a file that it refuses", async () => {
    const source = new CountingSource("bad.gguf", Buffer.from("GGUF"));
    await assert.rejects(
      openGguf("bad.gguf", async () => source),
      { name: "MalformedInputError" },
    );
    assert.equal(source.closed, 1);
  });

  it("says which file is missing", async () => {
    await assert.rejects(openGguf("nowhere/m.gguf"), {
      name: "EnvironmentError",
      message: "nowhere/m.gguf: no such file; check the path.",
    });
  });
});

describe("a split set", () => {
  it("is one model with the first file's metadata and all tensors", async (t) => {
    const model = await openGguf(await writeSet(t));
    t.after(() => model.close());
    assert.deepEqual(model.metadata, plainMetadata({ "general.name": "the model" }));
    assert.equal(model.tensors.map((tensor) => tensor.name).join(""), "abcd");
    for (const [index, { data }] of shardTensors.flat().entries()) {
      assert.deepEqual(await model.tensors[index]!.readRows(0, 2), data);
    }
  });

  it("is opened by its first file only", async (t) => {
    const first = await writeSet(t);
    await assert.rejects(openGguf(sibling(first, 1)), {
      name: "UsageError",
      message: `${sibling(first, 1)}: is file 2 of 3 of a split model; name ${first}.`,
    });
  });

  it("must be complete", async (t) => {
    const first = await writeSet(t);
    await rm(sibling(first, 2));
    await assert.rejects(openGguf(first), {
      name: "EnvironmentError",
      message: `${sibling(first, 2)}: is missing; it belongs to the same model as ${first}. Put all files of the set into one folder.`,
    });
  });

  it("must have the names by which its files are found", async (t) => {
    const first = await writeSet(t);
    const renamed = first.replace(basename(first), "model.gguf");
    await rename(first, renamed);
    await assert.rejects(openGguf(renamed), {
      name: "UsageError",
      message: `${renamed}: is the first of 3 files of a split model, but its name does not end in "-00001-of-00003.gguf", so the others cannot be found. Give the files their names back.`,
    });
  });

  it("must not have files of another set", async (t) => {
    const first = await writeSet(t);
    await rename(sibling(first, 2), sibling(first, 1));
    await assert.rejects(openGguf(first), {
      name: "MalformedInputError",
      message: `${sibling(first, 1)}: should be file 2 of 3 of a split model but says that it is file 3 of 3. Download it again.`,
    });
    await writeGgufFile(sibling(first, 1), { tensors: [] });
    await assert.rejects(openGguf(first), {
      message: `${sibling(first, 1)}: should be file 2 of 3 of a split model but says that it is no file of a split model. Download it again.`,
    });
  });

  it("must not have a tensor twice", async (t) => {
    const first = await writeSet(t);
    const metadata = plainMetadata(splitKeys(1, 3, 4));
    await writeGgufFile(sibling(first, 1), { metadata, tensors: shardTensors[0]! });
    await assert.rejects(openGguf(first), {
      name: "MalformedInputError",
      message: `${sibling(first, 1)}: has the tensor "a", which ${first} has too. The files do not belong together; download them again.`,
    });
  });

  it("must have as many tensors as it says", async (t) => {
    const first = await writeSet(t, 5);
    await assert.rejects(openGguf(first), {
      name: "MalformedInputError",
      message: `${first}: says that the model has 5 tensors, but its 3 files have 4. The files do not belong together; download them again.`,
    });
  });

  it("closes every file when it is closed or refused", async (t) => {
    const first = await writeSet(t);
    const sources: CountingSource[] = [];
    const open = async (path: string) => {
      const source = new CountingSource(path, await readFile(path));
      sources.push(source);
      return source;
    };
    await (await openGguf(first, open)).close();
    assert.deepEqual(
      sources.map((source) => source.closed),
      [1, 1, 1],
    );
    await writeGgufFile(sibling(first, 2), { tensors: [] });
    sources.length = 0;
    await assert.rejects(openGguf(first, open));
    assert.deepEqual(
      sources.map((source) => source.closed),
      [1, 1, 1],
    );
  });
});
