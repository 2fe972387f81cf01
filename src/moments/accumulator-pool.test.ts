import assert from "node:assert/strict";
import { test } from "node:test";
import { CancelledError, InternalError } from "../errors.js";
import { packedLength } from "../quants/output-aware/packed.js";
import { fill, gaussian } from "../testing/random.js";
import { AccumulatorPool } from "./accumulator-pool.js";
import { Gram } from "./gram.js";
import type { PlannedInput } from "./plan.js";

const inputs: PlannedInput[] = [
  { name: "in", weight: "a", columns: 64, matrices: 1, byteLength: 0 },
  { name: "experts", weight: "b", columns: 32, matrices: 6, byteLength: 0 },
];
const values = fill(64 * 64, gaussian(3));

/** Batches of all sizes for every matrix, more deliveries than there are buffers. */
function* batches() {
  for (let round = 0; round < 12; round++) {
    for (const { name, columns, matrices } of inputs) {
      for (let matrix = 0; matrix < matrices; matrix++) {
        yield {
          name,
          columns,
          matrix,
          vectors: 1 + ((5 * round + 3 * matrix) % 13),
          factor: 0.1 * (round + 1),
        };
      }
    }
  }
}

async function pooled(threads: number): Promise<Map<string, readonly Float32Array[]>> {
  const pool = await AccumulatorPool.start(inputs, threads, () => false);
  try {
    for (const { name, columns, matrix, vectors, factor } of batches()) {
      pool.begin(name, matrix, vectors);
      for (let i = 0; i < vectors; i++) {
        pool.add(values, i * columns + matrix, factor);
      }
      if (matrix % 4 === 0) {
        pool.deliver();
      }
    }
    pool.deliver();
    await pool.finish();
    return new Map([...pool.entries].map(([name, { sums }]) => [name, sums]));
  } finally {
    await pool.close();
  }
}

test("sums are the same to the bit for any number of threads as without any", async () => {
  const expected = new Map(
    inputs.map(({ name, columns, matrices }) => [
      name,
      Array.from({ length: matrices }, () => new Float32Array(packedLength(columns))),
    ]),
  );
  const gram = new Gram();
  for (const { name, columns, matrix, vectors, factor } of batches()) {
    gram.begin(columns, vectors);
    for (let i = 0; i < vectors; i++) {
      gram.add(values, i * columns + matrix, factor);
    }
    gram.addTo(expected.get(name)![matrix]!);
  }
  for (const threads of [1, 2, 5]) {
    const sums = await pooled(threads);
    for (const [name, matrices] of expected) {
      for (const [i, matrix] of matrices.entries()) {
        assert.deepEqual(Float32Array.from(sums.get(name)![i]!), matrix, `${threads} threads, ${name} ${i}`);
      }
    }
  }
});

test("the error of a thread reaches whoever waits for it", async () => {
  const pool = await AccumulatorPool.start(inputs, 2, () => false);
  pool.begin("experts", 6, 1);
  pool.add(values, 0, 1);
  pool.deliver();
  await assert.rejects(pool.finish(), (error: Error) => {
    assert.ok(error instanceof InternalError);
    assert.equal(error.message, "experts has no matrix 6.");
    return true;
  });
  await pool.close();
});

test("a cancelled run does not wait for its threads, and closing ends them", async () => {
  const pool = await AccumulatorPool.start(inputs, 1, () => true);
  assert.throws(() => {
    for (;;) {
      pool.begin("in", 0, 512);
      for (let i = 0; i < 512; i++) {
        pool.add(values, 0, 1);
      }
      pool.deliver();
    }
  }, CancelledError);
  await pool.close();
});
