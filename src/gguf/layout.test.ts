import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemorySource } from "../bytes/source.js";
import { plainMetadata } from "../testing/gguf-file.js";
import { type GgufPlan, planGguf } from "./layout.js";
import type { MetadataValue } from "./metadata.js";
import { readGgufHeader } from "./reader.js";

function refuses(plan: Partial<GgufPlan>, message: string): void {
  assert.throws(() => planGguf({ metadata: new Map(), tensors: [], ...plan }), {
    name: "UsageError",
    message,
  });
}

describe("the layout of a GGUF file", () => {
  it("pads every tensor, the last one too, as llama.cpp does", () => {
    const layout = planGguf({
      metadata: plainMetadata({ "general.architecture": "x" }),
      tensors: [
        { name: "a", shape: [5], type: "F32" },
        { name: "b", shape: [32, 3], type: "Q8_0" },
      ],
    });
    const start = layout.header.byteLength;
    assert.equal(start % 32, 0);
    assert.deepEqual(
      layout.tensors.map(({ offset, byteLength }) => [offset - start, byteLength]),
      [
        [0, 20],
        [32, 102],
      ],
    );
    assert.equal(layout.byteLength, start + 32 + 128);
  });

  it("counts sizes beyond 32 bits exactly", () => {
    const tensors = ["a", "b", "c"].map((name) => ({
      name,
      shape: [2048, 768, 4096],
      type: "BF16" as const,
    }));
    const { header, ...layout } = planGguf({ metadata: new Map(), tensors });
    const bytes = 2048 * 768 * 4096 * 2;
    assert.equal(layout.tensors[2]?.offset, header.byteLength + 2 * bytes);
    assert.equal(layout.byteLength, header.byteLength + 3 * bytes);
  });

  it("depends on nothing but the plan, whatever the file held that the metadata came from", async () => {
    const plan = { metadata: plainMetadata({ b: 1, a: [2, 3], c: "x" }), tensors: [] };
    const first = planGguf(plan).header;
    const read = await readGgufHeader(new MemorySource("m", first));
    assert.deepEqual(planGguf(read).header, first);
  });

  it("writes a value that was replaced, beside others that were not", async () => {
    const first = planGguf({ metadata: plainMetadata({ a: "old", b: "kept" }), tensors: [] }).header;
    const { metadata } = await readGgufHeader(new MemorySource("m", first));
    const changed = new Map(metadata).set("a", { type: "string", value: "new" });
    assert.deepEqual(
      planGguf({ metadata: changed, tensors: [] }).header,
      planGguf({ metadata: plainMetadata({ a: "new", b: "kept" }), tensors: [] }).header,
    );
  });

  it("takes the alignment from the metadata, or records the one asked for", async () => {
    const metadata = plainMetadata({ "general.alignment": 64 });
    assert.equal(planGguf({ metadata, tensors: [] }).alignment, 64);
    for (const alignment of [8, 32, 4096]) {
      const { header } = planGguf({ metadata, tensors: [], alignment });
      assert.equal(header.byteLength % alignment, 0);
      const read = await readGgufHeader(new MemorySource("m", header));
      assert.equal(read.alignment, alignment);
    }
    assert.equal(
      (
        await readGgufHeader(
          new MemorySource("m", planGguf({ metadata: new Map(), tensors: [], alignment: 32 }).header),
        )
      ).metadata.size,
      0,
    );
  });
});

describe("a plan that llama.cpp could not load is refused:", () => {
  const tensor = { name: "t", shape: [256], type: "F32" } as const;

  it("impossible alignments", () => {
    refuses({ alignment: 48 }, "an alignment of 48 is not a power of two; use 32.");
    refuses({ alignment: 0 }, "an alignment of 0 is not a power of two; use 32.");
    refuses(
      { metadata: plainMetadata({ "general.alignment": "32" }) },
      'key "general.alignment" is of type string; it must be uint32.',
    );
  });

  it("duplicate, empty and long names", () => {
    refuses({ tensors: [tensor, tensor] }, 'two tensors are named "t".');
    refuses(
      { tensors: [{ ...tensor, name: "" }] },
      'tensor "" has a name of 0 bytes; llama.cpp loads names of 1 to 63.',
    );
    const name = "ü".repeat(32);
    refuses(
      { tensors: [{ ...tensor, name }] },
      `tensor "${name}" has a name of 64 bytes; llama.cpp loads names of 1 to 63.`,
    );
  });

  it("impossible shapes", () => {
    refuses({ tensors: [{ ...tensor, shape: [] }] }, 'tensor "t" has 0 dimensions; GGUF has 1 to 4.');
    refuses(
      { tensors: [{ ...tensor, shape: [1, 1, 1, 1, 1] }] },
      'tensor "t" has 5 dimensions; GGUF has 1 to 4.',
    );
    refuses(
      { tensors: [{ ...tensor, shape: [4, 0] }] },
      'tensor "t" has the shape [4, 0]; sizes are whole and above 0.',
    );
    refuses(
      { tensors: [{ ...tensor, shape: [2 ** 40, 2 ** 40] }] },
      'tensor "t" of shape [1099511627776, 1099511627776] is larger than any file.',
    );
    refuses(
      { tensors: [{ ...tensor, shape: [96], type: "Q4_K" }] },
      'tensor "t" has rows of 96 weights and cannot be Q4_K, whose blocks have 256; choose a type with smaller blocks.',
    );
  });

  it("numbers that do not fit their type", () => {
    const values: [MetadataValue, string][] = [
      [{ type: "uint8", value: 256 }, 'key "k": 256 does not fit the type uint8.'],
      [{ type: "int32", value: 2 ** 31 }, 'key "k": 2147483648 does not fit the type int32.'],
      [{ type: "uint32", value: 1.5 }, 'key "k": 1.5 does not fit the type uint32.'],
      [{ type: "uint64", value: -1n }, 'key "k": -1 does not fit the type uint64.'],
      [{ type: "array", itemType: "int8", value: [0, 128] }, 'key "k": 128 does not fit the type int8.'],
    ];
    for (const [value, message] of values) {
      refuses({ metadata: new Map([["k", value]]) }, message);
    }
  });

  it("empty keys and arrays nested too deeply", () => {
    refuses({ metadata: plainMetadata({ "": 1 }) }, "a metadata key is empty; name it.");
    let value: MetadataValue = { type: "array", itemType: "uint8", value: [1] };
    for (let level = 1; level < 5; level++) {
      value = { type: "array", itemType: "array", value: [value] };
    }
    refuses({ metadata: new Map([["k", value]]) }, 'key "k": arrays are nested more than 4 deep.');
  });
});
