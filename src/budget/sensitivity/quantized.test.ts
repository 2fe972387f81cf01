import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../../engine/engine.js";
import { UsageError } from "../../errors.js";
import { perplexity } from "../../evaluate/measure.js";
import { quantize } from "../../quantize/quantize.js";
import { fixture } from "../../testing/command.js";
import { temporaryFolder } from "../../testing/temporary.js";
import { plan } from "../plan.js";
import { sensitivity } from "./measure.js";

const engine = new Engine();
after(() => engine.close());

const model = fixture("tiny-moe-q8_0.gguf");
const text = fixture("text/eval.txt");
const imatrix = fixture("reference/imatrix.gguf");

test("what the errors of a quantization cost adds up to its divergence, and plan takes them at that", async (t) => {
  const folder = await temporaryFolder(t);
  const [quantized, output] = [join(folder, "first.gguf"), join(folder, "sensitivity.json")];
  const recipe = "asym-2bit-experts";
  await quantize({ model, output: quantized, recipe, imatrix, allowRequantize: true });
  const run = { parseSpecial: true, ctx: 128, chunks: 4, threads: 1, engine };
  const result = await sensitivity({ model, text, output, quantized, imatrix, ...run });
  assert.equal(result.method, "quantized");
  const { kld } = await perplexity({ model: quantized, reference: model, text, floor: false, ...run });
  // `perplexity` scores the second halves of chunks.
  const ratio = result.backgroundKld / (kld?.mean ?? 0);
  assert.ok(ratio > 0.5 && ratio < 2, `${ratio}`);
  const total = result.tensors.reduce((sum, { cost = 0 }) => sum + cost, 0);
  assert.ok(total > 0.5 * result.backgroundKld && total < 2 * result.backgroundKld, `${total}`);
  const gate = result.tensors.find(({ name }) => name === "blk.0.ffn_gate_exps.weight");
  assert.equal(gate?.type, "IQ2_S");

  const curves = join(folder, "curves.json");
  const planned = await plan({
    model,
    output: join(folder, "recipe.yaml"),
    size: "5.93MB",
    sensitivity: output,
    imatrix,
    errors: join(folder, "errors.jsonl"),
    curves,
    allow: ["routed", "attention", "embedding", "output"].map((role) => `${role}=IQ2_S,IQ3_S,Q4_K,Q6_K`),
  });
  const { alpha = 0 } = planned.tensors.find(({ name }) => name === gate?.name) ?? {};
  const { tensors } = JSON.parse(await readFile(curves, "utf8"));
  const { errors } = tensors.find(({ name }: { name: string }) => name === gate?.name);
  assert.ok(Math.abs((alpha * errors.IQ2_S) / (gate?.cost ?? 0) - 1) < 1e-6);
});

test("another model is no quantization, and a model in windows is not measured with one", async (t) => {
  const folder = await temporaryFolder(t);
  const output = join(folder, "sensitivity.json");
  await assert.rejects(
    sensitivity({ model, text, output, quantized: fixture("archs/none.gguf"), engine }),
    /none\.gguf/,
  );
  await assert.rejects(
    sensitivity({ model, text, output, quantized: model, layersPerWindow: 1, ctx: 64, chunks: 1, engine }),
    (error) => error instanceof UsageError && /by noise/.test(error.message),
  );
});
