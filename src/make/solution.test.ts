import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { scalesHeaderBytes } from "../scales/scales.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { fixture, lopsided } from "../testing/command.js";
import { sha256 } from "../testing/file-server.js";
import { temporaryFolder } from "../testing/temporary.js";
import type { MakeResult } from "./make.js";

const engine = new Engine();
after(() => engine.close());

test("effort max plans by what the errors of a first quantization cost, and goes on after a kill to the same bytes", async (t) => {
  const folder = await temporaryFolder(t);
  const model = join(folder, "model.gguf");
  // Few tensors: what takes long is measuring the errors of all types.
  await writeTinyModel(engine, "qwen3moe", model, { block_count: 1, expert_count: 4, expert_used_count: 2 });
  const make = (name: string, interruption?: Parameters<typeof lopsided>[1]) => {
    const args = ["make", model, "-o", join(folder, name), "--calibration", fixture("text/calibration.txt")];
    args.push("--bpw", "4", "--effort", "max", "--chunks", "4", "--ctx-calibration", "64", "--threads", "1");
    args.push("--sensitivity-chunks", "1", "--no-evaluate", "--no-check", "--no-explorer", "--json");
    return lopsided(args, interruption);
  };
  const work = (name: string, file: string) => join(folder, name, ".lopsided", file);
  const whole = await make("whole");
  assert.equal(whole.status, 0, whole.stderr);
  const made = JSON.parse(whole.stdout) as MakeResult;
  assert.equal(made.sensitivity?.method, "quantized");
  assert.equal(made.scales?.layers.length, 1);
  const grown = made.quantize.bytes - (made.plan?.bytes ?? 0);
  assert.ok(grown > 0 && grown <= scalesHeaderBytes, `the header is ${grown} bytes longer for the scales`);
  assert.ok(!existsSync(work("whole", "first.gguf")), "it is removed when it has been measured");

  // Errors are known by the weights, whichever run has measured them.
  await mkdir(work("killed", "."), { recursive: true });
  await copyFile(work("whole", "errors.jsonl"), work("killed", "errors.jsonl"));
  const when = () => existsSync(work("killed", "first.gguf"));
  assert.equal((await make("killed", { signal: "SIGKILL", when })).status, null);
  const resumed = await make("killed");
  assert.equal(resumed.status, 0, resumed.stderr);
  const again = JSON.parse(resumed.stdout) as MakeResult;
  assert.deepEqual(again.sensitivity?.tensors, made.sensitivity?.tensors);
  const [a, b] = await Promise.all(
    [made.model, again.model].map(async (path) => sha256(await readFile(path))),
  );
  assert.equal(a, b);
});
