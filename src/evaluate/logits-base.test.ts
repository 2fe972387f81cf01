import assert from "node:assert/strict";
import { test } from "node:test";
import { MemorySource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { fill, gaussian } from "../testing/random.js";
import {
  compareWithBase,
  encodeHeader,
  encodeRow,
  fileByteLength,
  LogitsBase,
  type LogitsBaseHeader,
  logProbability,
} from "./logits-base.js";
import { compareRows, scoreRow } from "./softmax.js";

const header: LogitsBaseHeader = {
  context: 6,
  vocabulary: 101,
  chunks: 2,
  tokens: Int32Array.from({ length: 12 }, (_, i) => 7 * i),
};

function row(seed: number, spread = 3): Float32Array {
  return fill(header.vocabulary, gaussian(seed)).map((value) => value * spread);
}

const rows = [1, 2, 3, 4].map((seed) => row(seed));

function fileBytes(): Buffer {
  return Buffer.concat([encodeHeader(header), ...rows.map((logits) => encodeRow(logits, scoreRow(logits)))]);
}

function open(bytes: Uint8Array): Promise<LogitsBase> {
  return LogitsBase.open(new MemorySource("base", bytes));
}

test("what is written is read back, to the precision of 16 bits", async () => {
  const bytes = fileBytes();
  assert.equal(bytes.byteLength, fileByteLength(header));
  const base = await open(bytes);
  assert.deepEqual(base.header, header);
  for (const [i, logits] of rows.entries()) {
    const read = await base.row(Math.floor(i / 2), i % 2);
    const { logSumExp } = scoreRow(logits);
    for (const [token, logit] of logits.entries()) {
      const expected = Math.max(logit - logSumExp, Math.max(...logits) - 16 - logSumExp);
      assert.ok(Math.abs(logProbability(read, token) - expected) < 16 / 65535);
    }
  }
});

test("the layout is llama-perplexity's", () => {
  const bytes = Buffer.from(fileBytes());
  assert.equal(bytes.subarray(0, 8).toString(), "_logits_");
  assert.deepEqual(
    [8, 12, 16, 20, 24].map((at) => bytes.readInt32LE(at)),
    [6, 101, 2, 0, 7],
  );
  const logits = rows[0]!;
  const start = 20 + 4 * 12;
  const [max, min] = [Math.max(...logits), Math.min(...logits)];
  const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
  assert.ok(Math.abs(bytes.readFloatLE(start) - (max - min) / 65535) < 1e-9);
  assert.ok(Math.abs(bytes.readFloatLE(start + 4) - (min - max - logSum)) < 1e-5);
  assert.equal(bytes.readUInt16LE(start + 8 + 2 * logits.indexOf(max)), 65535);
  assert.equal(bytes.readUInt16LE(start + 8 + 2 * logits.indexOf(min)), 0);
  assert.equal(bytes.readUInt16LE(start + 8 + 2 * 101), 0, "padding of an odd vocabulary");
});

test("equal logits are all code zero", () => {
  const bytes = Buffer.from(encodeRow(new Float32Array(4).fill(3), { top: 0, logSumExp: 3 + Math.log(4) }));
  assert.equal(bytes.readFloatLE(0), 0);
  assert.ok(Math.abs(bytes.readFloatLE(4) + Math.log(4)) < 1e-6);
  assert.deepEqual(bytes.subarray(8), Buffer.alloc(8));
});

test("tokens more than 16 nats below the top are stored as 16 below", () => {
  const bytes = Buffer.from(encodeRow(Float32Array.of(0, -40, -16), { top: 0, logSumExp: 0 }));
  assert.ok(Math.abs(bytes.readFloatLE(4) + 16) < 1e-6);
  assert.deepEqual(
    [8, 10, 12].map((at) => bytes.readUInt16LE(at)),
    [65535, 0, 0],
  );
});

test("the comparison agrees with that of full rows, but for the tokens far down", async () => {
  const base = await open(fileBytes());
  for (const [i, logits] of rows.entries()) {
    const other = logits.map((logit, token) => logit + (row(9, 0.5)[token] as number));
    const exact = compareRows(logits, other);
    const { score, divergence, sameTop } = compareWithBase(await base.row(Math.floor(i / 2), i % 2), other);
    assert.deepEqual(score, exact.score);
    assert.equal(sameTop, exact.score.top === exact.reference.top);
    assert.ok(Math.abs(divergence - exact.divergence) < 1e-3 * exact.divergence);
  }
});

test("every cut and every addition is an error", async () => {
  const bytes = fileBytes();
  for (let length = 0; length < bytes.length; length++) {
    await assert.rejects(open(bytes.subarray(0, length)), MalformedInputError, `cut at ${length}`);
  }
  await assert.rejects(open(Buffer.concat([bytes, Buffer.alloc(1)])), {
    message: `base: has ${bytes.length + 1} bytes, but 2 chunks of 6 tokens with a vocabulary of 101 take ${bytes.length}. The run that wrote it did not finish, or the file was cut; write it again.`,
  });
});

test("hostile headers and rows are refused", async () => {
  const changed = (at: number, value: number) => {
    const bytes = Buffer.from(fileBytes());
    bytes.writeInt32LE(value, at);
    return bytes;
  };
  for (const at of [8, 12, 16]) {
    for (const value of [0, -1, 2 ** 31 - 1]) {
      await assert.rejects(open(changed(at, value)), MalformedInputError);
    }
  }
  await assert.rejects(open(changed(24, 101)), /base: token 1 is 101, outside the vocabulary of 101/);
  await assert.rejects(open(changed(0, 0)), /does not start with "_logits_"/);
  const start = 20 + 4 * 12;
  const notNumbers = Buffer.from(fileBytes());
  notNumbers.writeFloatLE(Number.NaN, start);
  const base = await open(notNumbers);
  await assert.rejects(base.row(0, 0), /position 0 of chunk 1 has scale NaN/);
  await base.row(0, 1);
});
