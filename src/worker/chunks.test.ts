import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, mkdir, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fixture, lopsided } from "../testing/command.js";
import { startWorker } from "../testing/queue-worker.js";
import { TestRedis, withoutRedis } from "../testing/redis.js";
import { temporaryFolder } from "../testing/temporary.js";

const token = "a-token-that-only-these-tests-have";
const model = fixture("tiny-moe-q8_0.gguf");

/** Arguments of an `imatrix` over groups of 32 chunks. */
const collecting = (output: string, chunks = 150) => [
  ...["imatrix", model, fixture("text/calibration.txt"), "-o", output, "--ctx", "64", "--expert-outputs"],
  ...["--chunks", String(chunks), "--parse-special", "-t", "1", "--output-frequency", "1", "--json"],
];

describe("groups of chunks on a queue", { skip: withoutRedis }, () => {
  let redis: TestRedis;
  let folder: string;
  const cleanUps: (() => Promise<void>)[] = [];
  before(async () => {
    folder = await temporaryFolder({ after: (cleanUp) => cleanUps.push(cleanUp) });
    redis = await TestRedis.start(folder);
  });
  after(async () => {
    await redis?.close();
    await Promise.all(cleanUps.map((cleanUp) => cleanUp()));
  });

  const onQueue = () => ["--queue", redis.url, "--token", token];
  it("gives an importance matrix of the same bytes though a worker dies, another gets the model from the coordinator, and that is resumed", async (t) => {
    const [alone, together] = [join(folder, "alone.gguf"), join(folder, "together.gguf")];
    const models = join(folder, "models");
    const [local, first] = await Promise.all([
      lopsided(collecting(alone)),
      startWorker(t, [...onQueue(), "--shared", fixture("")]),
      startWorker(t, [...onQueue(), "--models", models]),
    ]);
    assert.equal(local.status, 0, local.stderr);
    const queued = [...collecting(together), ...onQueue()];
    const killed = await lopsided([...queued, "--no-local"], {
      signal: "SIGKILL",
      when: () => existsSync(`${together}.partial`),
    });
    assert.equal(killed.status, null);
    first?.child.kill("SIGKILL");
    const resumed = await lopsided([...queued, "--no-local"]);
    assert.equal(resumed.status, 0, resumed.stderr);
    assert.ok(JSON.parse(resumed.stdout).resumedFrom >= 32);
    assert.deepEqual(await readFile(together), await readFile(alone));
    const fetched = (await readdir(models, { recursive: true })).filter((name) => name.endsWith(".gguf"));
    assert.equal(fetched.length, 1);
    assert.ok((await readFile(join(models, fetched[0]!))).equals(await readFile(model)));
  });

  it("is not for workers that have no room for the model, or have another, which say so", async (t) => {
    const shared = join(folder, "shared");
    const output = join(folder, "here.gguf");
    await mkdir(shared);
    const other = join(shared, "tiny-moe-q8_0.gguf");
    await copyFile(model, other);
    const file = await open(other, "r+");
    await file.write(Uint8Array.of(7), 0, 1, 1_000_001);
    await file.close();
    const workers = await Promise.all([
      startWorker(t, [...onQueue(), "--models", join(folder, "small"), "--models-size", "1MB"]),
      startWorker(t, [...onQueue(), "--shared", shared]),
    ]);
    const run = lopsided([...collecting(output, 64), ...onQueue()]);
    assert.equal((await run).status, 0);
    const reasons = [
      /runs no model for .*: tiny-moe-q8_0\.gguf: has 15\.46 MB, and this worker keeps at most 1\.00 MB of models /,
      /has other contents/,
    ];
    for (const [i, { said }] of workers.entries()) {
      assert.match(said.text, reasons[i]!);
    }
  });

  it("gives the scores of one machine, against a reference too", async (t) => {
    const quantized = join(folder, "quantized.gguf");
    const made = await lopsided([
      ...["quantize", model, quantized, "--base", "Q4_0", "--allow-requantize", "-t", "1"],
    ]);
    assert.equal(made.status, 0, made.stderr);
    await copyFile(model, join(folder, "tiny-moe-q8_0.gguf"));
    await startWorker(t, [...onQueue(), "--shared", folder]);
    const texts = [`a=${fixture("text/eval.txt")}`, `b=${fixture("text/calibration.txt")}`];
    const measuring = [
      ...["perplexity", quantized, ...texts, "--reference", model, "--ctx", "64", "--chunks", "50"],
      ...["-t", "1", "--json", "--checkpoint", join(folder, "scores")],
    ];
    // Both are of runs that could go on later, which compare no routers.
    const alone = await lopsided(measuring);
    const together = await lopsided([...measuring, ...onQueue(), "--no-local"]);
    assert.equal(together.status, 0, together.stderr);
    const figures = ({ stdout }: typeof alone) => {
      const { seconds, tokensPerSecond, ...others } = JSON.parse(stdout);
      assert.ok(seconds > 0 && tokensPerSecond > 0);
      return others;
    };
    assert.deepEqual(figures(together), figures(alone));
  });

  it("is what make does its work on, to the same files", async (t) => {
    const [alone, shared] = [join(folder, "alone"), join(folder, "both")];
    await mkdir(shared);
    const source = join(shared, "tiny-moe-q8_0.gguf");
    await copyFile(model, source);
    await startWorker(t, [...onQueue(), "--models", join(folder, "of make")]);
    const making = (output: string) => [
      ...["make", source, "-o", output, "--parse-special", "--no-check", "--no-explorer", "-t", "1"],
      ...["--calibration", fixture("text/calibration.txt"), "--ctx-calibration", "64", "--chunks", "40"],
      ...["--evaluate", fixture("text/eval.txt"), "--ctx-evaluate", "64", "--evaluate-chunks", "40"],
      ...["--baseline", "none", "--json"],
    ];
    const outcomes = await Promise.all([
      lopsided(making(alone)),
      lopsided([...making(shared), ...onQueue(), "--no-local"]),
    ]);
    const [one, other] = outcomes.map(({ status, stdout, stderr }) => {
      assert.equal(status, 0, stderr);
      const { model: path, evaluate } = JSON.parse(stdout);
      return { path, evaluation: evaluate.model.evaluation };
    });
    assert.deepEqual(await readFile(other!.path), await readFile(one!.path));
    assert.deepEqual(other!.evaluation.kld, one!.evaluation.kld);
    const card = await readFile(join(shared, "README.md"), "utf8");
    assert.ok(card.includes("--queue") && !card.includes(token));
  });

  it("does not collect moments", async () => {
    const { status, stderr } = await lopsided([
      ...[...collecting(join(folder, "none.gguf")), ...onQueue()],
      ...["--moments", join(folder, "none.moments")],
    ]);
    assert.equal(status, 2);
    assert.match(stderr, /^lopsided: `?--moments`? and .* are collected on one machine; leave out /);
  });
});
