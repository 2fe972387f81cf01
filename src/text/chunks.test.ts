import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../errors.js";
import { batchesOf, cutIntoChunks, sequencesTogether } from "./chunks.js";

function numbers(count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => i);
}

const sized = (vocabularySize: number) => ({ architecture: "qwen3moe", vocabularySize });

test("a text is cut into whole chunks, as many as asked for at most", () => {
  assert.deepEqual(cutIntoChunks("t", numbers(11), { context: 4 }), {
    context: 4,
    chunks: 2,
    tokens: numbers(8),
  });
  assert.equal(cutIntoChunks("t", numbers(11), { context: 4, chunks: 1 }).tokens.length, 4);
});

test("a text shorter than two chunks is refused with a length that would do", () => {
  assert.throws(
    () => cutIntoChunks("t", numbers(7), { context: 4 }),
    new UsageError(
      "t: has 7 tokens, but two chunks of 4 need 8. Use a longer text, or chunks of at most 3 tokens (`ctx`).",
      { file: "t", tokens: 7 },
    ),
  );
});

test("four chunks of 512 go together, fewer if their logits would fill the memory", () => {
  assert.equal(sequencesTogether(512, 256, sized(2048)), 4);
  assert.equal(sequencesTogether(512, 512, sized(151936)), 3);
  assert.equal(sequencesTogether(512, 512, sized(2 ** 21)), 1);
  assert.equal(sequencesTogether(4096, 2048, sized(2048)), 1);
  // llama.cpp does not keep its sequences apart.
  assert.equal(sequencesTogether(512, 256, { architecture: "minimax-01", vocabularySize: 2048 }), 1);
});

test("chunks become sequences whose second half wants logits, and the start token replaces the first", () => {
  const text = cutIntoChunks("t", numbers(12), { context: 4 });
  const options = { sequences: 2, batchSize: 8, logitsFrom: 2, startToken: 99 };
  const [first, second, ...more] = [...batchesOf(text, options)];
  assert.equal(more.length, 0);
  assert.deepEqual([first?.first, first?.end, first?.begins, first?.ends], [0, 2, true, true]);
  assert.deepEqual(first?.sequences, [
    { sequence: 0, position: 0, tokens: Int32Array.of(99, 1, 2, 3), logitsFrom: 2 },
    { sequence: 1, position: 0, tokens: Int32Array.of(99, 5, 6, 7), logitsFrom: 2 },
  ]);
  assert.deepEqual(first?.rows, [
    { chunk: 0, position: 2 },
    { chunk: 0, position: 3 },
    { chunk: 1, position: 2 },
    { chunk: 1, position: 3 },
  ]);
  assert.deepEqual([second?.first, second?.end, second?.sequences.length], [2, 3, 1]);
  assert.deepEqual(text.tokens, numbers(12), "the text's own tokens stay");
});

test("a chunk longer than a batch is decoded in pieces", () => {
  const text = cutIntoChunks("t", numbers(14), { context: 7 });
  const options = { sequences: 1, batchSize: 3, logitsFrom: 4, startToken: 99 };
  const pieces = [...batchesOf(text, options)].slice(0, 3);
  assert.deepEqual(
    pieces.map(({ begins, ends }) => [begins, ends]),
    [
      [true, false],
      [false, false],
      [false, true],
    ],
  );
  assert.deepEqual(
    pieces.map(({ sequences }) => sequences[0]),
    [
      { sequence: 0, position: 0, tokens: Int32Array.of(99, 1, 2), logitsFrom: 3 },
      { sequence: 0, position: 3, tokens: Int32Array.of(3, 4, 5), logitsFrom: 1 },
      { sequence: 0, position: 6, tokens: Int32Array.of(6), logitsFrom: 0 },
    ],
  );
  assert.deepEqual(
    pieces.flatMap(({ rows }) => rows.map(({ position }) => position)),
    [4, 5, 6],
  );
});

test("a run can be taken up again at any chunk", () => {
  const text = cutIntoChunks("t", numbers(20), { context: 4 });
  const all = [...batchesOf(text, { sequences: 2, batchSize: 8, logitsFrom: 0 })];
  const rest = [...batchesOf(text, { sequences: 2, batchSize: 8, logitsFrom: 0, from: 2 })];
  assert.deepEqual(rest, all.slice(1));
});
