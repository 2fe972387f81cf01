import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { Engine } from "../engine/engine.js";
import { LopsidedError } from "../errors.js";
import { imatrix } from "../imatrix/compute.js";
import { make } from "../make/make.js";
import { quantize } from "../quantize/quantize.js";
import { fixture } from "../testing/command.js";
import { FaultyDisk } from "../testing/faulty-disk.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";

/** Of every so many operations one fails; 1 in `FAULTS=all`. */
const isWhole = process.env.FAULTS === "all";

/** Which power losses to try, as in `POWER_LOSSES=41-80`: each has another moment, and other bytes that it costs. */
const [firstLoss = 1, lastLoss] = process.env.POWER_LOSSES?.split("-").map(Number) ?? [];

const engine = new Engine();
after(() => engine.close());

/** A command that is run in a folder, and what it leaves there. */
interface Scenario {
  /** Files whose bytes are the same whenever it comes to its end. */
  readonly outputs: readonly string[];
  /** Runs it; again after a failure. */
  readonly run: (folder: string, again: boolean) => Promise<unknown>;
}

async function quantizing(t: TestContext): Promise<Scenario> {
  const source = await writeGgufFile(join(await temporaryFolder(t), "source.gguf"), {
    metadata: { "general.architecture": "llama", "llama.block_count": 1 },
    tensors: [
      { name: "blk.0.ffn_down_exps.weight", shape: [64, 40, 9], type: "F32" },
      { name: "output_norm.weight", shape: [64], type: "F32" },
    ],
    seed: 1,
  });
  return {
    outputs: ["out.gguf"],
    run: (folder, again) =>
      quantize({ model: source, output: join(folder, "out.gguf"), base: "Q4_0", threads: 0, resume: again }),
  };
}

async function calibrating(): Promise<Scenario> {
  const options = { model: fixture("tiny-moe-q8_0.gguf"), text: fixture("text/calibration.txt") };
  return {
    outputs: ["imatrix.gguf"],
    run: (folder) =>
      imatrix({ ...options, output: join(folder, "imatrix.gguf"), ctx: 32, chunks: 2, engine }),
  };
}

/** Layers are encoded when the text has gone through them, and nothing is kept. */
async function quantizingByLayers(): Promise<Scenario> {
  const request = {
    model: fixture("tiny-moe-q8_0.gguf"),
    recipe: "asym-2bit-experts",
    tensorType: ["blk\\.[12]\\..*=Q8_0", "ffn_(gate|up)_exps=Q8_0", "token_embd=Q8_0", "output=Q8_0"],
    effort: "max",
    calibration: fixture("text/calibration.txt"),
    calibrationTokens: 500,
    keepActivations: false,
    allowRequantize: true,
    threads: 1,
    engine,
  } as const;
  return {
    outputs: ["out.gguf", "imatrix.gguf"],
    run: (folder, again) =>
      quantize({
        ...request,
        output: join(folder, "out.gguf"),
        imatrixOutput: join(folder, "imatrix.gguf"),
        resume: again,
      }),
  };
}

async function making(): Promise<Scenario> {
  const text = fixture("text/calibration.txt");
  return {
    outputs: ["tiny-moe-asym-IQ2_S.gguf", "imatrix.gguf", "imatrix.dat", "recipe.yaml"],
    run: (folder) =>
      make({
        ...{
          model: fixture("tiny-moe-q8_0.gguf"),
          output: folder,
          check: false,
          explorer: false,
          threads: 1,
        },
        ...{ calibration: text, chunks: 1, ctxCalibration: 32 },
        ...{ evaluate: text, evaluateChunks: 1, ctxEvaluate: 32, baseline: "none" },
      }),
  };
}

/** What a run leaves: the names of all files, and the bytes of those that must not differ. */
async function filesIn(folder: string, outputs: readonly string[]) {
  const names = await readdir(folder, { recursive: true });
  const bytes = await Promise.all(outputs.map((name) => readFile(join(folder, name)).catch(() => undefined)));
  return { names: names.sort(), bytes };
}

/** Fails where an output has its name and not the bytes that it should have. */
async function checkNames(
  folder: string,
  outputs: readonly string[],
  expected: readonly unknown[],
  label: string,
) {
  const { bytes } = await filesIn(folder, outputs);
  for (const [index, left] of bytes.entries()) {
    const isWhole = left === undefined || Buffer.compare(left, expected[index] as Buffer) === 0;
    assert.ok(isWhole, `${label}: something else has the name ${outputs[index]}`);
  }
}

interface Laboratory {
  readonly folder: string;
  readonly disk: FaultyDisk;
  /** Operations of an undisturbed run, and what it leaves. */
  readonly total: number;
  readonly expected: Awaited<ReturnType<typeof filesIn>>;
}

async function undisturbed(t: TestContext, { outputs, run }: Scenario): Promise<Laboratory> {
  const folder = join(await temporaryFolder(t), "work");
  await mkdir(folder);
  const disk = await FaultyDisk.install(folder);
  t.after(() => disk.remove());
  disk.arm();
  await run(folder, false);
  const total = disk.operations;
  return { folder, disk, total, expected: await filesIn(folder, outputs) };
}

async function empty(folder: string): Promise<void> {
  await rm(folder, { recursive: true });
  await mkdir(folder);
}

/** Fails one operation after the other; each run must end well or with one sentence, and go on to the same bytes. */
async function failEach(t: TestContext, scenario: Scenario, stride: number): Promise<void> {
  const { outputs, run } = scenario;
  const { folder, disk, total, expected } = await undisturbed(t, scenario);
  let [faults, failed] = [0, 0];
  for (const code of ["EIO", "ENOSPC"] as const) {
    const first = 1 + Math.floor(stride * (code === "EIO" ? 1 / 3 : 2 / 3));
    for (let at = first; at <= total; at += stride) {
      await empty(folder);
      disk.arm({ at, code });
      const error = await run(folder, false).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      disk.arm();
      faults++;
      const label = `operation ${at} of ${total}, ${code}`;
      if (error !== undefined) {
        failed++;
        assert.ok(
          error instanceof LopsidedError,
          `${label}: ${error instanceof Error ? error.stack : error}`,
        );
        assert.equal(error.kind, "environment", `${label}: ${error.message}`);
        assert.ok(!error.message.includes("\n"), error.message);
        await checkNames(folder, outputs, expected.bytes, label);
        await run(folder, true);
      }
      assert.deepEqual(await filesIn(folder, outputs), expected, label);
    }
  }
  assert.ok(failed > 0, "no fault had an effect");
  t.diagnostic(`${total} operations, ${faults} faults, ${failed} runs failed`);
}

/** Lets the power go off `times` times; the next run must come to the same bytes. */
async function losePower(t: TestContext, scenario: Scenario, times: number): Promise<void> {
  const { outputs, run } = scenario;
  const { folder, disk, total, expected } = await undisturbed(t, scenario);
  for (let seed = firstLoss; seed <= (lastLoss ?? times); seed++) {
    await empty(folder);
    disk.arm({ at: 1 + ((seed * 37) % total), code: "power" });
    // What need not be there, such as a file that only saves time, may be missed without a word.
    await run(folder, false).catch(() => {});
    await disk.losePower(seed);
    await checkNames(folder, outputs, expected.bytes, `seed ${seed}`);
    await run(folder, true);
    assert.deepEqual(await filesIn(folder, outputs), expected, `seed ${seed}`);
  }
  t.diagnostic(`${total} operations, power losses ${firstLoss} to ${lastLoss ?? times}`);
}

const onlyPower = { skip: process.env.POWER_LOSSES !== undefined && "only power losses are asked for" };

describe(
  "whichever operation of the disk fails, the run ends with one sentence and goes on to the same bytes",
  onlyPower,
  () => {
    it("quantize", async (t) => failEach(t, await quantizing(t), isWhole ? 1 : 3));
    it("quantize, layer by layer", async (t) => failEach(t, await quantizingByLayers(), isWhole ? 1 : 200));
    it("imatrix", async (t) => failEach(t, await calibrating(), isWhole ? 1 : 25));
    it("make", async (t) => failEach(t, await making(), isWhole ? 1 : 1100));
  },
);

describe("a power loss at any moment costs nothing but time, whatever bytes and names the disk lost or tore", () => {
  it("quantize", async (t) => losePower(t, await quantizing(t), isWhole ? 200 : 20));
  it("quantize, layer by layer", async (t) => losePower(t, await quantizingByLayers(), isWhole ? 200 : 2));
  it("imatrix", async (t) => losePower(t, await calibrating(), isWhole ? 200 : 4));
  it("make", async (t) => losePower(t, await making(), isWhole ? 200 : 1));
});
