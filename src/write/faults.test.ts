import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { Engine } from "../engine/engine.js";
import { LopsidedError } from "../errors.js";
import { imatrix } from "../imatrix/compute.js";
import { quantize } from "../quantize/quantize.js";
import { fixture } from "../testing/command.js";
import { FaultyDisk } from "../testing/faulty-disk.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";

/** Of every so many operations one fails; 1 in `FAULTS=all`. */
const isWhole = process.env.FAULTS === "all";

const engine = new Engine();
after(() => engine.close());

/** A command that is run in a folder, and what it leaves there. */
interface Scenario {
  readonly output: string;
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
    output: "out.gguf",
    run: (folder, again) =>
      quantize({ model: source, output: join(folder, "out.gguf"), base: "Q4_0", threads: 0, resume: again }),
  };
}

async function calibrating(): Promise<Scenario> {
  const options = { model: fixture("tiny-moe-q8_0.gguf"), text: fixture("text/calibration.txt") };
  return {
    output: "imatrix.gguf",
    run: (folder) =>
      imatrix({ ...options, output: join(folder, "imatrix.gguf"), ctx: 32, chunks: 2, engine }),
  };
}

/** Fails one operation after the other; each run must end well or with one sentence, and go on to the same bytes. */
async function failEach(t: TestContext, { output, run }: Scenario, stride: number): Promise<void> {
  const folder = join(await temporaryFolder(t), "work");
  await mkdir(folder);
  const disk = await FaultyDisk.install(folder);
  t.after(() => disk.remove());
  disk.arm();
  await run(folder, false);
  const total = disk.operations;
  const expected = await readFile(join(folder, output));
  let failed = 0;
  for (const code of ["EIO", "ENOSPC"] as const) {
    for (let at = 1; at <= total; at += stride) {
      await rm(folder, { recursive: true });
      await mkdir(folder);
      disk.arm({ at, code });
      const error = await run(folder, false).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      disk.arm();
      const label = `operation ${at} of ${total}, ${code}`;
      if (error !== undefined) {
        failed++;
        assert.ok(
          error instanceof LopsidedError,
          `${label}: ${error instanceof Error ? error.stack : error}`,
        );
        assert.equal(error.kind, "environment", `${label}: ${error.message}`);
        assert.ok(!error.message.includes("\n"), error.message);
        const left = await readFile(join(folder, output)).catch(() => undefined);
        assert.ok(
          left === undefined || left.equals(expected),
          `${label}: something else has the output's name`,
        );
        await run(folder, true);
      }
      assert.deepEqual(await readdir(folder), [output], label);
      assert.ok((await readFile(join(folder, output))).equals(expected), label);
    }
  }
  assert.ok(failed > 0, "no fault had an effect");
  t.diagnostic(`${total} operations, ${failed} runs failed`);
}

describe("whichever operation of the disk fails, the run ends with one sentence and goes on to the same bytes", () => {
  it("quantize", async (t) => failEach(t, await quantizing(t), isWhole ? 1 : 3));
  it("imatrix", async (t) => failEach(t, await calibrating(), isWhole ? 1 : 25));
});

it("a power loss at any moment costs nothing but time, whatever the disk lost or tore", async (t) => {
  const { output, run } = await quantizing(t);
  const folder = join(await temporaryFolder(t), "work");
  await mkdir(folder);
  const disk = await FaultyDisk.install(folder);
  t.after(() => disk.remove());
  disk.arm();
  await run(folder, false);
  const total = disk.operations;
  const expected = await readFile(join(folder, output));
  for (let seed = 1; seed <= (isWhole ? 200 : 20); seed++) {
    await rm(folder, { recursive: true });
    await mkdir(folder);
    disk.arm({ at: 1 + ((seed * 37) % total), code: "power" });
    await assert.rejects(run(folder, false));
    await disk.losePower(seed);
    const left = await readFile(join(folder, output)).catch(() => undefined);
    assert.ok(
      left === undefined || left.equals(expected),
      `seed ${seed}: something else has the output's name`,
    );
    await run(folder, true);
    assert.ok((await readFile(join(folder, output))).equals(expected), `seed ${seed}`);
    assert.deepEqual(await readdir(folder), [output], `seed ${seed}`);
  }
});
