import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { MemorySource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import type { Metadata, MetadataValue } from "../gguf/metadata.js";
import { datParts } from "./dat.js";
import { readImatrix } from "./file.js";
import { ggufParts } from "./gguf.js";
import type { Imatrix } from "./imatrix.js";

const reference = new URL("../../fixtures/reference/", import.meta.url);
const model = new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url);

function read(bytes: Uint8Array, name = "x.gguf"): Promise<Imatrix> {
  return readImatrix(new MemorySource(name, bytes));
}

const metadata: [string, MetadataValue][] = [
  ["general.type", { type: "string", value: "imatrix" }],
  ["imatrix.datasets", { type: "array", itemType: "string", value: ["text"] }],
  ["imatrix.chunk_count", { type: "uint32", value: 1 }],
  ["imatrix.chunk_size", { type: "uint32", value: 512 }],
];

/** A GGUF file of F32 tensors with the given values. */
function ggufFile(
  tensors: { name: string; shape: number[]; values: number[] }[],
  keys: Metadata = new Map(metadata),
): Uint8Array {
  const layout = planGguf({
    metadata: keys,
    tensors: tensors.map(({ name, shape }) => ({ name, shape, type: "F32" as const })),
  });
  const bytes = new Uint8Array(layout.byteLength);
  bytes.set(layout.header);
  for (const [i, { values }] of tensors.entries()) {
    bytes.set(new Uint8Array(Float32Array.from(values).buffer), layout.tensors[i]!.offset);
  }
  return bytes;
}

const sums = { name: "w.in_sum2", shape: [2, 2], values: [1, 2, 3, 4] };
const counts = { name: "w.counts", shape: [1, 2], values: [5, 6] };

test("llama-imatrix's file is read and written back byte for byte", async () => {
  const bytes = await readFile(new URL("imatrix.gguf", reference));
  const imatrix = await read(bytes);
  assert.equal(imatrix.entries.size, 32);
  assert.deepEqual([imatrix.chunkCount, imatrix.chunkSize], [128, 512]);
  assert.deepEqual(imatrix.datasets, ["/tmp/rt3/text/calibration.txt"]);
  const gate = imatrix.entries.get("blk.0.ffn_gate_exps.weight")!;
  assert.equal(
    gate.counts.reduce((sum, count) => sum + count),
    128 * 512 * 4,
  );
  assert.ok(Buffer.concat([...ggufParts(imatrix)]).equals(bytes));
});

test("the .dat written from llama-imatrix's GGUF is the one llama-imatrix wrote", async () => {
  const imatrix = await read(await readFile(new URL("imatrix.gguf", reference)));
  const dat = await readFile(new URL("imatrix.dat", reference));
  assert.ok(Buffer.concat([...datParts(imatrix)]).equals(dat));
});

test("the prior asked for is kept in the file", async () => {
  const imatrix = await read(ggufFile([sums, counts]));
  assert.equal(imatrix.priorWeight, undefined);
  const back = await read(Buffer.concat([...ggufParts({ ...imatrix, priorWeight: 2 })]));
  assert.equal(back.priorWeight, 2);
  assert.deepEqual(back.entries, imatrix.entries);
});

test("tensors of other kinds are passed over", async () => {
  const imatrix = await read(ggufFile([sums, { name: "w.moments", shape: [1], values: [1] }, counts]));
  assert.deepEqual([...imatrix.entries.keys()], ["w"]);
});

test("a model is not taken for an importance matrix", async () => {
  await assert.rejects(read(await readFile(model), "m.gguf"), {
    name: "MalformedInputError",
    message:
      'm.gguf: is not an importance matrix but a GGUF file of type "model"; its metadata lack imatrix.datasets or imatrix.chunk_count. Name a file made by "lopsided imatrix" or llama-imatrix.',
  });
});

test("hostile entries are named", async () => {
  const with_ = (part: typeof sums, change: Partial<typeof sums>) => ({ ...part, ...change });
  const cases: [Uint8Array, RegExp][] = [
    [ggufFile([sums]), /entry "w" has sums but no counts\./],
    [ggufFile([counts]), /entry "w" has counts but no sums\./],
    [ggufFile([]), /is an importance matrix without entries/],
    [ggufFile([sums, with_(counts, { shape: [1, 3], values: [1, 2, 3] })]), /has 4 sums for 3 counts\./],
    [ggufFile([sums, with_(counts, { values: [1, -1] })]), /entry "w" counts -1 tokens\./],
    [ggufFile([sums, with_(counts, { values: [1, Number.NaN] })]), /counts NaN tokens\./],
    [ggufFile([sums, with_(counts, { values: [1, 1e30] })]), /counts 1\.\d+e\+30 tokens\./],
    [ggufFile([with_(sums, { values: [1, 2, Infinity, 4] }), counts]), /the value Infinity at position 2/],
    [ggufFile([sums, counts], new Map(metadata.slice(0, 3))), /imatrix\.chunk_size is missing/],
  ];
  for (const [bytes, message] of cases) {
    await assert.rejects(read(bytes), (error: Error) => {
      assert.ok(error instanceof MalformedInputError, error.stack);
      assert.match(error.message, message);
      return true;
    });
  }
});

test("every cut of a small file is an error", async () => {
  const whole = ggufFile([sums, counts]);
  // The last tensor's padding is not missed.
  for (let length = 0; length < whole.length - 24; length++) {
    await assert.rejects(read(whole.subarray(0, length)), MalformedInputError, `cut at ${length}`);
  }
});
