import assert from "node:assert/strict";
import { execFile as execFileCallback } from "node:child_process";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { CancelledError, InternalError, MalformedInputError, UsageError } from "../errors.js";
import { fill, gaussian, uniform } from "../testing/random.js";
import { EncoderPool } from "./pool.js";
import { sharedInput } from "./shared-input.js";
import { addStatistics, noStatistics } from "./statistics.js";
import type { Slice } from "./transcode.js";
import { rowBytes, type TypeName, types } from "./types.js";

const execFile = promisify(execFileCallback);

const columns = 512;
const rows = 60;
const weights = fill(rows * columns, gaussian(7));
const importance = sharedInput(fill(columns, uniform(8)));

function slice(first: number, count: number, change: Partial<Slice> = {}): Slice {
  return {
    label: 'test.gguf: tensor "t"',
    firstRow: first,
    sourceType: "F32",
    targetType: "Q8_0",
    columns,
    source: new Uint8Array(weights.slice(first * columns, (first + count) * columns).buffer),
    importance,
    effort: "default",
    ...change,
  };
}

/** Encodes the test tensor cut into slices of these numbers of rows. */
async function encode(targetType: TypeName, threads: number, ...cuts: number[]) {
  const pool = new EncoderPool(threads);
  try {
    const pending = [];
    let first = 0;
    for (const count of cuts) {
      await pool.ready();
      pending.push(pool.transcode(slice(first, count, { targetType })));
      first += count;
    }
    assert.equal(first, rows);
    const parts = await Promise.all(pending);
    const statistics = parts.map((part) => part.statistics).reduce(addStatistics, noStatistics);
    return { bytes: Buffer.concat(parts.map((part) => part.bytes)), statistics };
  } finally {
    await pool.close();
  }
}

describe("the encoder pool", () => {
  it("gives the same bytes with any number of threads and any slices", async () => {
    for (const type of ["Q8_0", "Q4_0", "Q2_K", "Q3_K", "Q4_K", "IQ4_XS", "IQ2_S", "IQ3_XXS"] as const) {
      const expected = await encode(type, 0, rows);
      assert.equal(expected.bytes.length, rows * rowBytes(type, columns));
      assert.equal(expected.statistics.weights, rows * columns);
      for (const [threads, cuts] of [
        [1, [20, 20, 20]],
        [2, [1, 57, 1, 1]],
        [5, Array.from({ length: rows }, () => 1)],
      ] as const) {
        const { bytes } = await encode(type, threads, ...cuts);
        assert.ok(bytes.equals(expected.bytes), `${type}, ${threads} threads`);
      }
    }
  });

  it("gives the same statistics with any number of threads", async () => {
    const cuts = [13, 40, 7];
    const [here, there] = [await encode("Q4_K", 0, ...cuts), await encode("Q4_K", 2, ...cuts)];
    assert.deepEqual(here.statistics, there.statistics);
  });

  it("moves the source to the thread instead of copying it", async () => {
    const pool = new EncoderPool(1);
    try {
      const task = slice(0, 2);
      await pool.transcode(task);
      assert.equal(task.source.byteLength, 0);
    } finally {
      await pool.close();
    }
  });

  it("rejects a slice whose bytes were moved before, and goes on", async () => {
    const pool = new EncoderPool(1);
    const moved = slice(0, 4);
    await pool.transcode(moved);
    const all = await Promise.allSettled([
      ...[4, 8, 12].map((first) => pool.transcode(slice(first, 4))),
      pool.transcode(moved),
      pool.transcode(slice(16, 4)),
    ]);
    assert.deepEqual(
      all.map(({ status }) => status),
      ["fulfilled", "fulfilled", "fulfilled", "rejected", "fulfilled"],
    );
    await pool.close();
  });

  it("leaves a buffer alone that the source is only a part of", async () => {
    const pool = new EncoderPool(1);
    try {
      const whole = new Uint8Array(weights.slice(0, 2 * columns).buffer);
      const done = await pool.transcode(slice(0, 1, { source: whole.subarray(4 * columns) }));
      assert.equal(done.bytes.byteLength, rowBytes("Q8_0", columns));
      assert.equal(whole.byteLength, 8 * columns);
    } finally {
      await pool.close();
    }
  });

  it("surveys stored rows of every type: zero blocks are counted, what is not finite is named", async () => {
    const pool = new EncoderPool(1);
    try {
      for (const { name, canDecode, canEncode, quantized, blockSize } of types.values()) {
        if (!canDecode || !canEncode) {
          continue;
        }
        const some = weights.slice(0, 6 * columns);
        some.fill(0, 2 * columns, 3 * columns);
        const float = { source: new Uint8Array(some.slice().buffer), importance: undefined };
        const stored = await pool.transcode(slice(0, 6, { ...float, targetType: name, effort: "fast" }));
        const source = name === "F32" ? new Uint8Array(some.slice().buffer) : stored.bytes;
        const survey = await pool.survey({ label: "t", firstRow: 10, sourceType: name, columns, source });
        const blocks = quantized ? (6 * columns) / blockSize : 6;
        assert.deepEqual(survey, { blocks, zeroBlocks: blocks / 6 }, name);
      }
      const source = new Uint8Array(Float32Array.of(1, 2, Infinity, 4).buffer);
      await assert.rejects(pool.survey({ label: "t", firstRow: 10, sourceType: "F32", columns: 2, source }), {
        message:
          "t: row 11 has the weight Infinity at column 0. The file is damaged; download or convert it again.",
      });
    } finally {
      await pool.close();
    }
  });

  it("compares rows that were encoded before to the same figures", async () => {
    for (const threads of [0, 1]) {
      const pool = new EncoderPool(threads);
      try {
        const first = await pool.transcode(slice(5, 20, { targetType: "Q4_0" }));
        const encoded = first.bytes.slice();
        const again = await pool.transcode(slice(5, 20, { targetType: "Q4_0", encoded }));
        assert.deepEqual(again.statistics, first.statistics);
        const wrong = first.bytes.slice();
        wrong.fill(0x77, 7 * rowBytes("Q4_0", columns), 8 * rowBytes("Q4_0", columns));
        const { worst } = await pool.transcode(slice(5, 20, { targetType: "Q4_0", encoded: wrong }));
        assert.equal(worst?.row, 12);
        assert.ok(worst.relativeError > 1);
      } finally {
        await pool.close();
      }
    }
  });

  it("goes on after a slice that cannot be encoded, and says where it is", async () => {
    const pool = new EncoderPool(2);
    try {
      const damaged = weights.slice(0, 4 * columns);
      damaged[3 * columns + 5] = Number.NaN;
      await assert.rejects(pool.transcode(slice(100, 4, { source: new Uint8Array(damaged.buffer) })), {
        name: MalformedInputError.name,
        message:
          'test.gguf: tensor "t": row 103 has the weight NaN at column 5. The file is damaged; download or convert it again.',
        details: { row: 103, column: 5 },
      });
      await assert.rejects(pool.transcode(slice(0, 1, { targetType: "Q8_K" })), UsageError);
      const done = await pool.transcode(slice(0, 4));
      assert.equal(done.statistics.weights, 4 * columns);
    } finally {
      await pool.close();
    }
  });

  it("holds the caller back once every thread has enough to do", async () => {
    const pool = new EncoderPool(1);
    try {
      const pending = [];
      for (let i = 0; i < 3; i++) {
        await pool.ready();
        pending.push(pool.transcode(slice(0, 1)));
      }
      let ready = false;
      const room = pool.ready().then(() => {
        ready = true;
      });
      await Promise.resolve();
      assert.equal(ready, false);
      await Promise.race(pending);
      await room;
      await Promise.all(pending);
    } finally {
      await pool.close();
    }
  });

  it("gives slices that go together to one thread, and names the first error when all are done", async ({
    mock,
  }) => {
    const pool = new EncoderPool(2);
    const threads: Worker[] = [];
    const send = Worker.prototype.postMessage;
    mock.method(Worker.prototype, "postMessage", function (this: Worker, ...args: Parameters<typeof send>) {
      threads.push(this);
      send.apply(this, args);
    });
    try {
      const batch = () => [0, 4, 8, 12].map((first) => slice(first, 4));
      const [together, others] = await Promise.all([
        pool.transcodeTogether(batch()),
        pool.transcodeTogether(batch()),
      ]);
      assert.deepEqual(together, await Promise.all(batch().map((one) => pool.transcode(one))));
      assert.deepEqual(others, together);
      const [first, second] = [threads.slice(0, 4), threads.slice(4, 8)].map((some) => new Set(some));
      assert.deepEqual([first?.size, second?.size], [1, 1]);
      assert.notDeepEqual([...(first ?? [])][0]?.threadId, [...(second ?? [])][0]?.threadId);
      const broken = [slice(0, 4), slice(4, 4, { targetType: "Q8_K" }), slice(8, 4, { targetType: "Q4_K" })];
      await assert.rejects(pool.transcodeTogether(broken), UsageError);
      assert.deepEqual(await pool.transcodeTogether([]), []);
    } finally {
      await pool.close();
    }
  });

  it("rejects what is not done when it is closed, and everything after", async () => {
    const pool = new EncoderPool(1);
    const pending = Array.from({ length: 5 }, () => pool.transcode(slice(0, 30)));
    const results = Promise.allSettled(pending);
    await pool.close();
    const rejected = (await results).filter((result) => result.status === "rejected");
    assert.ok(rejected.length > 0);
    for (const { reason } of rejected) {
      assert.ok(reason instanceof CancelledError);
    }
    await assert.rejects(pool.transcode(slice(0, 1)), CancelledError);
    await pool.ready();
  });

  it("does without SIMD when told to, with a warning and the same bytes", async () => {
    const script = `
      const { EncoderPool } = await import(${JSON.stringify(new URL("./pool.js", import.meta.url).href)});
      let warning;
      const pool = new EncoderPool(1, (text) => { warning = text; });
      const source = new Uint8Array(Float32Array.from({ length: 512 }, (_, i) => Math.sin(i)).buffer);
      const done = await pool.transcode({ label: "t", firstRow: 0, sourceType: "F32", targetType: "Q8_0",
        columns: 512, source, effort: "default" });
      await pool.close();
      console.log(JSON.stringify({ warning, bytes: Buffer.from(done.bytes).toString("hex"),
        statistics: done.statistics }));
    `;
    const run = async (simd: boolean) => {
      const env = { ...process.env, LOPSIDED_NO_SIMD: simd ? "0" : "1" };
      const { stdout } = await execFile(process.execPath, ["--input-type=module", "-e", script], { env });
      return JSON.parse(stdout) as { warning?: string; bytes: string; statistics: object };
    };
    const [fast, slow] = await Promise.all([run(true), run(false)]);
    assert.equal(fast.warning, undefined);
    assert.equal(
      slow.warning,
      "Encoding is several times slower than it could be, because LOPSIDED_NO_SIMD=1 is set.",
    );
    assert.equal(slow.bytes, fast.bytes);
    assert.deepEqual(slow.statistics, fast.statistics);
  });

  it("does without a kernel that is found wrong, in every thread, and warns of it once", async () => {
    const [pool, knownAnswers, codec] = ["./pool.js", "./kernels/known-answers.js", "./codec.js"].map(
      (file) => JSON.stringify(new URL(file, import.meta.url).href),
    );
    // The known answer is spoilt for the main thread alone; the other one is told what was found.
    const script = `
      const { EncoderPool } = await import(${pool});
      const { knownAnswers } = await import(${knownAnswers});
      const { encodeRows } = await import(${codec});
      const weights = Float32Array.from({ length: 5120 }, (_, i) => Math.sin(i * i));
      const warnings = [];
      const encode = async (threads) => {
        const pool = new EncoderPool(threads, (text) => warnings.push(text));
        const slice = () => ({ label: "t", firstRow: 0, sourceType: "F32", targetType: "IQ2_S", columns: 512,
          source: new Uint8Array(weights.slice().buffer), effort: "default" });
        const [done] = await Promise.all([pool.transcode(slice()), pool.transcode(slice())]);
        await pool.close();
        return Buffer.from(done.bytes).toString("hex");
      };
      if (process.env.SPOIL) knownAnswers.encode_iq2_s = "spoilt";
      const reference = new Uint8Array(10 * 164);
      encodeRows("IQ2_S", weights, 512, undefined, reference);
      console.log(JSON.stringify({ done: [await encode(0), await encode(1)], warnings,
        reference: Buffer.from(reference).toString("hex") }));
    `;
    const run = async (env: object) => {
      const args = ["--input-type=module", "-e", script];
      const { stdout } = await execFile(process.execPath, args, { env: { ...process.env, ...env } });
      return JSON.parse(stdout) as { done: string[]; warnings: string[]; reference: string };
    };
    const [right, spoilt] = await Promise.all([run({}), run({ SPOIL: "1" })]);
    assert.deepEqual(right.warnings, []);
    assert.notEqual(right.done[0], right.reference);
    assert.deepEqual(right.done, [right.done[0], right.done[0]]);
    assert.deepEqual(spoilt.done, [spoilt.reference, spoilt.reference]);
    assert.equal(spoilt.warnings.length, 2, "one of each pool");
    for (const warning of spoilt.warnings) {
      assert.match(warning, /^These kernels give wrong results on this machine .*: encode_iq2_s\. /);
    }
  });

  it("reports a thread that breaks down instead of waiting for it", async ({ mock }) => {
    const pool = new EncoderPool(1);
    // A message that is no task makes the thread throw outside of any slice.
    const send = Worker.prototype.postMessage;
    mock.method(Worker.prototype, "postMessage", function (this: Worker) {
      send.call(this, null);
    });
    await assert.rejects(pool.transcode(slice(0, 1)), {
      name: InternalError.name,
      message: /^An encoder thread broke down: .+\. Try again with fewer threads\.$/,
    });
    await pool.close();
  });
});
