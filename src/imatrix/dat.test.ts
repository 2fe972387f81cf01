import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { MemorySource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { datParts, readDat } from "./dat.js";
import type { Imatrix } from "./imatrix.js";

const fixture = new URL("../../fixtures/reference/imatrix.dat", import.meta.url);

interface Entry {
  name?: string;
  nameLength?: number;
  calls?: number;
  values?: number[];
  valueCount?: number;
}

function datFile(entries: Entry[], tail: Buffer = Buffer.alloc(0), count = entries.length): Uint8Array {
  const parts = entries.map(({ name = "blk.0.attn_q.weight", calls = 2, values = [1, 2], ...lie }) => {
    const text = Buffer.from(name);
    const floats = Buffer.from(Float32Array.from(values).buffer);
    const lengths = [lie.nameLength ?? text.length, calls, lie.valueCount ?? values.length].map(int32);
    return Buffer.concat([lengths[0]!, text, lengths[1]!, lengths[2]!, floats]);
  });
  return Buffer.concat([int32(count), ...parts, tail]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function read(bytes: Uint8Array): Promise<Imatrix> {
  return readDat(new MemorySource("x.dat", bytes));
}

test("llama-imatrix's file is read and written back byte for byte", async () => {
  const bytes = await readFile(fixture);
  const imatrix = await read(bytes);
  assert.equal(imatrix.entries.size, 32);
  assert.equal(imatrix.chunkCount, 128);
  assert.deepEqual(imatrix.datasets, ["/tmp/rt3/text/calibration.txt"]);
  assert.deepEqual([...imatrix.entries.get("blk.0.attn_q.weight")!.counts], [128]);
  assert.equal(imatrix.entries.get("blk.0.ffn_down_exps.weight")!.sums.length, 16 * 256);
  assert.ok(Buffer.concat([...datParts(imatrix)]).equals(bytes));
});

test("a file without chunk count or dataset at its end is read", async () => {
  assert.equal((await read(datFile([{}]))).chunkCount, 0);
  assert.equal((await read(datFile([{}], int32(7)))).chunkCount, 7);
});

test("every cut but those before the optional end is an error", async () => {
  const whole = datFile([{}, { name: "b" }], Buffer.concat([int32(3), int32(1), Buffer.from("d")]));
  const allowed = [whole.length - 9, whole.length - 5];
  for (let length = 0; length < whole.length; length++) {
    const reading = read(whole.subarray(0, length));
    if (allowed.includes(length)) {
      await reading;
    } else {
      await assert.rejects(reading, MalformedInputError, `cut at ${length}`);
    }
  }
});

test("hostile counts and lengths are refused before anything is allocated", async () => {
  const cases: [Uint8Array, RegExp][] = [
    [datFile([{}], undefined, 2_000_000_000), /^x\.dat: is not an importance matrix/],
    [datFile([{}], undefined, 0), /it would have 0 entries/],
    [datFile([{ nameLength: -1 }]), /the name of entry 1 of 1 would be -1 bytes long/],
    [datFile([{ nameLength: 2_000_000_000 }]), /would be 2000000000 bytes long/],
    [datFile([{ valueCount: 2_000_000_000 }]), /needs 8000000000 bytes at offset/],
    [datFile([{ valueCount: 0 }]), /entry "blk\.0\.attn_q\.weight" has 2 calls, 0 values\./],
    [datFile([{ calls: -1 }]), /has -1 calls/],
    [datFile([{ name: "" }]), /entry "" has no name/],
    [datFile([{}, {}]), /entry "blk\.0\.attn_q\.weight" occurs twice/],
    [datFile([{}], Buffer.concat([int32(1), int32(0), int32(0)])), /has 4 bytes after its end/],
  ];
  for (const [bytes, message] of cases) {
    await assert.rejects(read(bytes), (error: Error) => {
      assert.ok(error instanceof MalformedInputError);
      assert.match(error.message, message);
      return true;
    });
  }
});

test("values that are no sums of squares name the entry", async () => {
  for (const bad of [Number.NaN, Infinity, -1]) {
    await assert.rejects(read(datFile([{ name: "w", values: [1, bad] }])), {
      message: `x.dat: entry "w" has the value ${bad} at position 1; sums of squares are finite and not negative. Compute the imatrix again, from a model that is not damaged.`,
    });
  }
});

test("an expert without tokens is written as ones, a tensor without any is left out", async () => {
  const imatrix: Imatrix = {
    name: "made up",
    format: "gguf",
    entries: new Map([
      ["experts", { sums: Float32Array.of(8, 4, 0, 0), counts: Float64Array.of(4, 0) }],
      ["nothing", { sums: Float32Array.of(0, 0), counts: Float64Array.of(0) }],
    ]),
    datasets: ["first", "last"],
    chunkCount: 1,
    chunkSize: 2,
    priorWeight: undefined,
  };
  const back = await read(Buffer.concat([...datParts(imatrix)]));
  assert.deepEqual([...back.entries.keys()], ["experts"]);
  assert.deepEqual([...back.entries.get("experts")!.sums], [4, 2, 2, 2]);
  assert.deepEqual(back.datasets, ["last"]);
});
