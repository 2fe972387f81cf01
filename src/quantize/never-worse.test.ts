/** Sources of four bits: what becomes of them is no further from the source than a file with the source's types. */
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Engine } from "../engine/engine.js";
import { perplexity } from "../evaluate/measure.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { quantize } from "./quantize.js";
import type { QuantizeOptions } from "./quantize-command.js";

test("gpt-oss with rows of 320 is no larger and no worse than with its experts' own types, which are less than a replacement's", async (t) => {
  const folder = await temporaryFolder(t);
  const engine = new Engine();
  t.after(() => engine.close());
  const model = join(folder, "gpt-oss.gguf");
  await writeTinyModel(engine, "gpt-oss-odd", model);

  const encoded = async (name: string, options: Partial<QuantizeOptions> = {}) => {
    const output = join(folder, `${name}.gguf`);
    await quantize({ model, output, recipe: "Q4_K_M", threads: 0, ...options });
    const measure = { model: output, reference: model, text: [fixture("text/eval.txt")], floor: false };
    const { kld } = await perplexity({ ...measure, ctx: 64, chunks: 2, threads: 1, engine });
    return { bytes: (await stat(output)).size, divergence: kld?.mean ?? Number.NaN };
  };
  const made = await encoded("made");
  const ownTypes = await encoded("own-types", { tensorType: ["_exps\\.weight=MXFP4"] });
  const replaced = await encoded("replaced", {
    tensorType: ["_exps\\.weight=IQ4_NL"],
    allowRequantize: true,
  });
  assert.ok(made.bytes <= ownTypes.bytes, `${made.bytes} ${ownTypes.bytes}`);
  assert.ok(made.divergence <= ownTypes.divergence, `${made.divergence} ${ownTypes.divergence}`);
  assert.ok(ownTypes.bytes < replaced.bytes);
  assert.ok(ownTypes.divergence < replaced.divergence, `${ownTypes.divergence} ${replaced.divergence}`);
});
