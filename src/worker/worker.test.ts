import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { partialPathOf } from "../bytes/output.js";
import { EnvironmentError, MalformedInputError } from "../errors.js";
import { packedLength } from "../quants/output-aware/packed.js";
import { EncoderPool } from "../quants/pool.js";
import { sharedInput } from "../quants/shared-input.js";
import type { Slice } from "../quants/transcode.js";
import { Coordinator } from "../queue/coordinator.js";
import { sealJob } from "../queue/jobs.js";
import { QueueTranscoder } from "../queue/queue-transcoder.js";
import { connectRedis, disconnect, queueName } from "../queue/redis.js";
import { fixture, lopsided } from "../testing/command.js";
import { writeExpertMoments } from "../testing/model-moments.js";
import { randomMoments } from "../testing/moments.js";
import { startWorker } from "../testing/queue-worker.js";
import { TestRedis, withoutRedis } from "../testing/redis.js";
import { temporaryFolder } from "../testing/temporary.js";
import { worker } from "./worker.js";

const token = "a-token-that-only-these-tests-have";
const source = fixture("tiny-moe-q8_0.gguf");
const recipe = ["--recipe", "asym-2bit-experts", "--imatrix", fixture("reference/imatrix.gguf")];

describe("a queue of machines", { skip: withoutRedis }, () => {
  let redis: TestRedis;
  let folder: string;
  let moments: string;
  let expected: Buffer;
  const cleanUps: (() => Promise<void>)[] = [];
  before(async () => {
    folder = await temporaryFolder({ after: (cleanUp) => cleanUps.push(cleanUp) });
    redis = await TestRedis.start(folder);
    moments = join(folder, "moments.gguf");
    await writeExpertMoments(source, moments);
    const alone = join(folder, "alone.gguf");
    assert.equal((await lopsided(quantizing(alone))).status, 0);
    expected = await readFile(alone);
  });
  after(async () => {
    await redis?.close();
    await Promise.all(cleanUps.map((cleanUp) => cleanUp()));
  });

  /** Arguments of a `quantize` that takes some seconds, in which an expert's gate and up are one job. */
  const quantizing = (output: string) => [
    ...["quantize", source, output, "--allow-requantize", "-t", "1", ...recipe],
    ...["--effort", "max", "--moments", moments],
  ];
  const onQueue = () => ["--queue", redis.url, "--token", token];
  /** Resolves once a run has written something. */
  const begun = async (output: string) => {
    while ((await stat(partialPathOf(output)).catch(() => undefined)) === undefined) {
      await sleep(20);
    }
  };

  it("gives the bytes of one machine though a worker dies, one stands still, and Redis starts again", async (t) => {
    const [first, second] = await Promise.all([1, 2, 3].map(() => startWorker(t, onQueue())));
    const output = join(folder, "faults.gguf");
    const run = lopsided([...quantizing(output), ...onQueue(), "--no-local"]);
    await begun(output);
    await sleep(300);
    first?.child.kill("SIGKILL");
    second?.child.kill("SIGSTOP");
    await redis.stop("SIGKILL");
    await redis.start();
    const { status, stderr } = await run;
    assert.equal(status, 0, stderr);
    assert.deepEqual(await readFile(output), expected);
  });

  it("serves two runs at once, one of which is killed and resumed", async (t) => {
    await startWorker(t, onQueue());
    const outputs = ["one.gguf", "two.gguf"].map((name) => join(folder, name)) as [string, string];
    const [killed, other] = await Promise.all([
      lopsided([...quantizing(outputs[0]), ...onQueue(), "--no-local"], {
        signal: "SIGKILL",
        when: () => true,
      }),
      lopsided([...quantizing(outputs[1]), ...onQueue()]),
    ]);
    assert.equal(killed.status, null);
    assert.equal(other.status, 0, other.stderr);
    const resumed = await lopsided([...quantizing(outputs[0]), ...onQueue(), "--resume"]);
    assert.equal(resumed.status, 0, resumed.stderr);
    for (const output of outputs) {
      assert.deepEqual(await readFile(output), expected);
    }
  });

  it("keeps no weights in Redis", async () => {
    let bytes = 0;
    for (const name of await readdir(redis.file)) {
      bytes += (await stat(join(redis.file, name))).size;
    }
    const jobs = Number(await redis.client().get(`bull:${queueName("slices", token)}:id`)) || 400;
    assert.ok(bytes < 4e6, `${bytes} bytes for ${jobs} jobs`);
  });

  it("serves nothing to who has another token", async () => {
    const coordinator = await Coordinator.open({ queue: redis.url, token, kind: "slices" });
    try {
      for (const path of ["/metrics", "/data/00", "/files/00/0+1", "/results/00"]) {
        for (const authorization of ["", "Bearer another token"]) {
          assert.equal((await fetch(coordinator.url + path, { headers: { authorization } })).status, 401);
        }
      }
      const answer = await fetch(`${coordinator.url}/metrics`, {
        headers: { authorization: `Bearer ${token}` },
      });
      assert.match(await answer.text(), /^lopsided_queue_refused_requests_total 8$/m);
      const { status, stderr } = await lopsided([
        ...["worker", "--queue", redis.url, "--token", "a-token-of-some-other-people"],
      ]);
      assert.equal(status, 2);
      assert.match(stderr, /^lopsided: the coordinator on .* has another token: .*\n$/);
    } finally {
      await coordinator.close();
    }
  });

  it("does nothing that the token does not vouch for, and goes on", async () => {
    const warnings: string[] = [];
    const running = await worker({
      queue: redis.url,
      token,
      threads: 0,
      onWarning: (warning) => warnings.push(warning),
    });
    const coordinator = await Coordinator.open({ queue: redis.url, token, kind: "slices" });
    const queue = new Queue(queueName("slices", token), { connection: redis.client() });
    const here = new EncoderPool(0);
    try {
      const id = `${coordinator.run}.77`;
      const work = { kind: "encode" } as never;
      const sealed = sealJob(token, { id, coordinator: coordinator.url, work });
      await queue.add("encode", { text: "{}", seal: "0".repeat(64) }, { jobId: "x.1" });
      await queue.add("encode", { ...sealed, text: sealed.text.replace("http", "file") }, { jobId: "x.2" });
      await queue.add("encode", sealed, { jobId: id });
      await queue.add("__proto__", ["anything"], { jobId: "x.3" });
      const encoders = new QueueTranscoder(coordinator, here);
      const weights = Float32Array.from({ length: 256 }, (_, i) => Math.sin(i));
      const slice: Slice = {
        ...{ label: "rows", firstRow: 0, sourceType: "F32", targetType: "Q4_K", columns: 256 },
        ...{ source: new Uint8Array(weights.buffer), effort: "default" },
      };
      assert.deepEqual(
        await encoders.transcode(slice),
        await here.transcode({ ...slice, source: slice.source.slice() }),
      );
      const sums = new Float32Array(new SharedArrayBuffer(4 * packedLength(256)));
      sums.set(randomMoments(256, 64, 1));
      const moments = { name: "moments", sums: sharedInput(sums), vectors: 64 };
      const aware = (): Slice => ({ ...slice, source: new Uint8Array(weights.slice().buffer), moments });
      assert.deepEqual(await encoders.transcode(aware()), await here.transcode(aware()));
      const broken = new Uint8Array(Float32Array.from(weights, (w, i) => (i === 7 ? Number.NaN : w)).buffer);
      await assert.rejects(encoders.transcode({ ...slice, source: broken }), (error) => {
        assert.ok(error instanceof MalformedInputError);
        assert.match(error.message, /^rows: row 0 has the weight NaN at column 7/);
        return true;
      });
      while ((await queue.getFailedCount()) < 4) {
        await sleep(50);
      }
      assert.deepEqual(new Set(warnings.map((warning) => warning.slice(0, 13))), new Set(["refused a job"]));
    } finally {
      await running.stop();
      await coordinator.close();
      await here.close();
      await queue.close();
    }
  });

  it("gives slices with the same moments to one machine as one job, all of which another does if that dies", async (t) => {
    const coordinator = await Coordinator.open({ queue: redis.url, token, kind: "slices" });
    const queue = new Queue(queueName("slices", token), { connection: redis.client() });
    const here = new EncoderPool(0);
    try {
      const sums = sharedInput(randomMoments(256, 64, 1));
      const slices = (rows: number) =>
        ["gate", "up"].map((label, tensor): Slice => {
          const weights = Float32Array.from({ length: 256 * rows }, (_, i) => Math.sin(i + tensor));
          return {
            ...{ label, firstRow: 0, sourceType: "F32", targetType: "IQ2_S", columns: 256 },
            ...{ source: new Uint8Array(weights.buffer), effort: "default" },
            moments: { name: "moments", sums, vectors: 64 },
          };
        });
      const encoders = new QueueTranscoder(coordinator, here);
      const first = await startWorker(t, onQueue());
      const encoding = encoders.transcodeTogether(slices(4096));
      while ((await queue.getActiveCount()) === 0) {
        await sleep(20);
      }
      first.child.kill("SIGKILL");
      await startWorker(t, onQueue());
      assert.deepEqual(await encoding, await here.transcodeTogether(slices(4096)));
      assert.deepEqual(
        coordinator.rates().map(({ jobs }) => jobs),
        [1],
      );
      // Of other types they are two jobs, and what is copied is none.
      const [gate, up] = slices(4) as [Slice, Slice];
      const three = () => [
        gate,
        { ...up, targetType: "IQ3_S" as const },
        { ...up, targetType: "F32" as const },
      ];
      const mixed = three().map((slice) => ({ ...slice, source: slice.source.slice() }));
      assert.deepEqual(await encoders.transcodeTogether(three()), await here.transcodeTogether(mixed));
      assert.equal(coordinator.rates()[0]?.jobs, 3);
    } finally {
      await coordinator.close();
      await here.close();
      await queue.close();
    }
  });

  it("goes though Redis went at the same moment", async () => {
    const coordinator = await Coordinator.open({ queue: redis.url, token, kind: "slices" });
    const closing = coordinator.close();
    await redis.stop("SIGKILL");
    await closing;
    await redis.start();
  });

  it("ends the copies of its connection too, and for good", async () => {
    const connection = await connectRedis(redis.url);
    const all = [connection, connection.duplicate(), connection.duplicate().duplicate()];
    await Promise.all(all.slice(1).map((copy) => copy.connect()));
    disconnect(connection);
    await Promise.all(all.map((one) => one.status === "end" || once(one, "end")));
    for (const one of all) {
      await assert.rejects(one.connect(), /has been ended/);
    }
  });

  it("says in one sentence that no Redis is there", async () => {
    await assert.rejects(worker({ queue: "redis://127.0.0.1:1/0", token }), (error) => {
      assert.ok(error instanceof EnvironmentError);
      assert.match(
        error.message,
        /^redis:\/\/127\.0\.0\.1:1\/0: no Redis answers \(.*ECONNREFUSED.*\); check /,
      );
      return true;
    });
  });
});
