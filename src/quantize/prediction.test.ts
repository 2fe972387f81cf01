import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { plan } from "../budget/plan.js";
import { Engine } from "../engine/engine.js";
import { computeLogits } from "../engine/jobs.js";
import { fit } from "../memory/fit.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { predictTokens } from "../testing/predict-tokens.js";
import { temporaryFolder } from "../testing/temporary.js";
import { quantize } from "./quantize.js";
import { verify } from "./verify.js";

describe("layers that predict further tokens", () => {
  const engine = new Engine();
  const temporary = mkdtempSync(join(tmpdir(), "lopsided-prediction-"));
  const model = join(temporary, "model.gguf");
  before(() => writeTinyModel(engine, "qwen35moe-mtp", model));
  after(async () => {
    rmSync(temporary, { recursive: true });
    await engine.close();
  });

  it("get a file of their own that llama.cpp drafts with, and the model's file is the one without them", async (t) => {
    const folder = await temporaryFolder(t);
    const to = (name: string) => join(folder, name);
    const common = { model, recipe: "Q8_0", threads: 1 };
    const embedded = await quantize({ ...common, output: to("embedded.gguf") });
    const { prediction } = await quantize({ ...common, output: to("a.gguf"), mtp: "separate" });
    await quantize({ ...common, output: to("b.gguf"), mtp: "drop" });
    assert.equal(prediction?.output, to("mtp-a.gguf"));
    assert.deepEqual(await readFile(to("a.gguf")), await readFile(to("b.gguf")));
    const vectors = Float32Array.from({ length: 3 * 256 }, (_, i) => Math.sin(i));
    const drafts = { tokens: [5, 6, 7], vectors };
    assert.deepEqual(
      await engine.run(predictTokens, { path: to("mtp-a.gguf"), ...drafts }),
      await engine.run(predictTokens, { path: embedded.output, ...drafts }),
    );
    const logits = async (path: string) =>
      await engine.run(computeLogits, { model: { path }, tokens: [1, 2, 3], threads: 1 });
    assert.deepEqual(await logits(to("a.gguf")), await logits(embedded.output));
    for (const name of ["a.gguf", "mtp-a.gguf"]) {
      await verify({ model: to(name), source: model, threads: 1 });
    }
  });

  it("count in a plan for a file only if they are in it, and take no memory", async (t) => {
    const folder = await temporaryFolder(t);
    const output = join(folder, "recipe.yaml");
    const common = { model, output, errors: join(folder, "errors.jsonl"), threads: 1, engine };
    const size = 4_400_000;
    const planned = await plan({ ...common, size, mtp: "separate" });
    const made = await quantize({ model, recipe: output, mtp: "separate", output: join(folder, "a.gguf") });
    assert.equal(made.bytes, planned.bytes);
    assert.ok(planned.bytes <= size && planned.bytes > 0.97 * size, String(planned.bytes));
    assert.ok((await plan({ ...common, size })).predicted > planned.predicted);
    const dropped = join(folder, "dropped.gguf");
    await quantize({ model, base: "COPY", mtp: "drop", output: dropped });
    const [embedded, alone] = [
      await fit({ model, ctx: 1024, engine }),
      await fit({ model: dropped, ctx: 1024, engine }),
    ];
    assert.equal(embedded.weightsBytes, alone.weightsBytes);
    assert.equal(embedded.totalBytes, alone.totalBytes);
    assert.ok(embedded.notes.some((note) => note.includes("layers that predict further tokens")));
  });

  it("must be there to be dropped or written, and readable from a file of their own", async (t) => {
    const folder = await temporaryFolder(t);
    const other = join(folder, "other.gguf");
    await writeTinyModel(engine, "mimo2-mtp", other);
    const base = { base: "COPY", output: join(folder, "out.gguf"), dryRun: true } as const;
    await assert.rejects(quantize({ ...base, model: other, mtp: "separate" }), /from a file of their own/);
    const dropped = join(folder, "dropped.gguf");
    await quantize({ ...base, model: other, mtp: "drop", output: dropped, dryRun: false });
    await assert.rejects(
      quantize({ ...base, model: dropped, mtp: "drop" }),
      /has no layers that predict further tokens/,
    );
  });
});
