import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { FileSource } from "../../bytes/source.js";
import { Engine } from "../../engine/engine.js";
import { computeLogits } from "../../engine/jobs.js";
import { CancelledError } from "../../errors.js";
import { relativeError } from "../../quants/statistics.js";
import { Workspace } from "../../quants/workspace.js";
import { fixture } from "../../testing/command.js";
import { fill, gaussian } from "../../testing/random.js";
import { temporaryFolder } from "../../testing/temporary.js";
import { defaultSensitivity } from "./defaults.js";
import { readSensitivity } from "./file.js";
import { measureSensitivity, type SensitivityEvent } from "./job.js";
import { sensitivity } from "./measure.js";
import { perturbRows, SignSource } from "./perturbation.js";

const engine = new Engine();
after(() => engine.close());
const model = fixture("tiny-moe-q8_0.gguf");
const text = fixture("text/calibration.txt");
const common = {
  model,
  text,
  parseSpecial: true,
  context: 128,
  chunks: 1,
  threads: 1,
  engine,
};

describe("noise", () => {
  const columns = 256;
  const rows = new Uint8Array(fill(4 * columns, gaussian(3)).buffer);
  const perturb = (level: number, name = "a", importance?: Float32Array) =>
    perturbRows(
      rows,
      { type: "F32", columns, level, importance, signs: new SignSource(name) },
      new Workspace(),
    );

  it("has the size that was asked for, and is the same every time", () => {
    for (const level of [0.001, 0.06, 0.5]) {
      assert.ok(Math.abs(relativeError(perturb(level).statistics) / level - 1) < 1e-5);
    }
    assert.deepEqual(perturb(0.1), perturb(0.1));
    assert.notDeepEqual(perturb(0.1).bytes, perturb(0.1, "b").bytes);
  });

  it("is measured by importance", () => {
    const importance = new Float32Array(columns);
    importance[7] = 2;
    const { statistics, bytes } = perturb(0.1, "a", importance);
    const [before, noisy] = [new Float32Array(rows.buffer), new Float32Array(bytes.buffer)];
    let [energy, error] = [0, 0];
    for (let row = 0; row < 4; row++) {
      const at = row * columns + 7;
      energy += 2 * before[at]! ** 2;
      error += 2 * (noisy[at]! - before[at]!) ** 2;
    }
    assert.ok(Math.abs(statistics.energy / energy - 1) < 1e-6);
    assert.ok(Math.abs(statistics.error / error - 1) < 1e-6);
  });
});

describe("sensitivity", () => {
  it("measures the tensors that are wanted, amid noise on all, and leaves none of it to later jobs", async () => {
    const tokens = Int32Array.from({ length: 32 }, (_, i) => 100 + 7 * i);
    const logits = () =>
      engine.run(computeLogits, { model: { path: model, plainWeights: true }, tokens, threads: 1 });
    const before = await logits();
    const tensors = ["output.weight", "blk.2.ffn_down_exps.weight", "blk.1.attn_q.weight"].map((name) => ({
      name,
      type: "Q8_0" as const,
      shape: name.startsWith("output") ? [256, 2048] : name.includes("attn") ? [256, 256] : [256, 256, 16],
      experts: undefined,
      isWanted: !name.includes("attn"),
    }));
    const events: SensitivityEvent[] = [];
    const { background } = await engine.run(
      measureSensitivity,
      {
        ...common,
        text: { path: text, parseSpecial: true },
        model: { path: model },
        tensors,
        background: 0.02,
        added: 0.1,
        rounds: 1,
      },
      { onEvent: (event) => events.push(event) },
    );
    assert.deepEqual(
      events.map(({ name }) => name),
      ["output.weight", "blk.2.ffn_down_exps.weight"],
    );
    for (const { error, growth } of events) {
      assert.ok(growth.mean > growth.error && growth.error > 0);
      assert.ok(Math.abs(error / 0.1 - 1) < 0.02, `${error}`);
    }
    assert.ok(background.mean > 0 && background.mean < events[0]!.growth.mean);
    assert.deepEqual(await logits(), before);
  });

  it("measures every tensor, resumes where it was stopped, and is read back for its own model only", async (t) => {
    const output = join(await temporaryFolder(t), "sensitivity.json");
    const { context: ctx, ...rest } = common;
    const stop = new AbortController();
    let measured = 0;
    const stopped = sensitivity({
      ...rest,
      ctx,
      output,
      signal: stop.signal,
      onProgress: ({ step }) => {
        if (step === "sensitivity" && ++measured === 10) {
          stop.abort();
        }
      },
    });
    await assert.rejects(stopped, CancelledError);
    let [first, last] = [Infinity, 0];
    const result = await sensitivity({
      ...rest,
      ctx,
      output,
      onProgress: ({ step, done }) => {
        if (step !== "sensitivity") {
          return;
        }
        first = Math.min(first, done);
        last = done;
      },
    });
    assert.ok(first > 10 && last === 30, `${first} ${last}`);
    assert.equal(result.tensors.length, 30);
    assert.ok(result.tensors.every(({ alpha, alphaError }) => alphaError > 0 && alpha >= alphaError / 2));

    const { fingerprint } = JSON.parse(await readFile(output, "utf8"));
    const fingerprints = ["another", fingerprint];
    const names = result.tensors.map(({ name }) => name);
    const read = await readSensitivity(await FileSource.open(output), { fingerprints, names });
    for (const { name, alpha } of result.tensors) {
      assert.equal(read.alphas.get(name), alpha);
    }
    await assert.rejects(
      readSensitivity(await FileSource.open(output), {
        fingerprints,
        names: [...names, "blk.9.attn_q.weight"],
      }),
      /sensitivity of another model \(it has no blk\.9\.attn_q\.weight\)/,
    );
    await assert.rejects(
      readSensitivity(await FileSource.open(output), { fingerprints: ["other"], names }),
      /of another model/,
    );
    await writeFile(output, "{}");
    await assert.rejects(
      readSensitivity(await FileSource.open(output), { fingerprints, names }),
      /is not a sensitivity file/,
    );
  });
});

describe("default sensitivities", () => {
  it("divide a role's number among its layers, more of it at the ends", () => {
    const names = Array.from({ length: 16 }, (_, layer) => `blk.${layer}.ffn_down_exps.weight`);
    const { alphas, name } = defaultSensitivity([...names, "output.weight"]);
    assert.equal(name, "defaults");
    const values = names.map((tensor) => alphas.get(tensor)!);
    assert.ok(Math.abs(values.reduce((a, b) => a + b) - 0.88) < 1e-12);
    assert.ok(Math.abs(values[0]! / values[8]! - 1.5) < 1e-12);
    assert.equal(values[15], values[0]);
  });
});
