import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { openGguf } from "../model/gguf-model.js";
import { quantize } from "../quantize/quantize.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { imatrix } from "./compute.js";
import { readImatrixFile, writeImatrixFile } from "./file.js";
import type { Imatrix } from "./imatrix.js";
import { loadImportance } from "./load-importance.js";

const model = fixture("tiny-moe-q8_0.gguf");
const source = await openGguf(model);
after(() => source.close());
const whole = await readImatrixFile(fixture("reference/imatrix.gguf"));

/** The reference without some entries. */
function without(pattern: RegExp): Imatrix {
  return { ...whole, entries: new Map([...whole.entries].filter(([name]) => !pattern.test(name))) };
}

test("routed tensors that an imatrix lacks are warned of, named in the result, and most of them are an error", async (t) => {
  const path = join(await temporaryFolder(t), "imatrix.gguf");
  const warnings: string[] = [];
  const onWarning = (warning: string) => warnings.push(warning);
  await writeImatrixFile(path, whole, "gguf");
  await loadImportance({ imatrix: path, onWarning }, source.tensors);
  assert.deepEqual(warnings, []);

  await writeImatrixFile(path, without(/blk\.0\.ffn_down_exps/), "gguf");
  const options = { model, output: "none.gguf", recipe: "Q4_K", allowRequantize: true, dryRun: true };
  const { routedWithoutImportance } = await quantize({ ...options, imatrix: path, onWarning });
  assert.deepEqual(routedWithoutImportance, ["blk.0.ffn_down_exps.weight"]);
  assert.match(
    warnings.join("\n"),
    /imatrix\.gguf: has nothing about 1 of the 12 tensors of routed experts \(blk\.0\.ffn_down_exps\.weight\)/,
  );

  await writeImatrixFile(path, without(/_exps/), "gguf");
  await assert.rejects(loadImportance({ imatrix: path }, source.tensors), {
    name: "UsageError",
    message: /has nothing about 12 of the 12 tensors of routed experts \(.*, \.\.\.\); compute one/,
  });
  // Gate and up see the same inputs, so one stands for both; leaving entries out on purpose is no fault.
  await writeImatrixFile(path, without(/ffn_up_exps/), "gguf");
  await loadImportance({ imatrix: path, onWarning: assert.fail }, source.tensors);
  await writeImatrixFile(path, whole, "gguf");
  await loadImportance({ imatrix: path, excludeWeights: ["_exps"], onWarning: assert.fail }, source.tensors);
});

test("an imatrix of another model is not merged", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "other.gguf");
  const merge = () =>
    imatrix({
      model,
      text: fixture("text/calibration.txt"),
      output: join(folder, "out.gguf"),
      merge: [path],
    });
  const [name = "", entry = { sums: new Float32Array(), counts: new Float64Array() }] =
    [...whole.entries][0] ?? [];
  await writeImatrixFile(path, { ...whole, entries: new Map([["blk.99.attn_q.weight", entry]]) }, "gguf");
  await assert.rejects(merge(), { name: "UsageError", message: /"blk\.99\.attn_q\.weight" is of no tensor/ });
  const half = { ...entry, sums: entry.sums.slice(entry.sums.length / 2) };
  await writeImatrixFile(path, { ...whole, entries: new Map([[name, half]]) }, "gguf");
  await assert.rejects(merge(), { name: "UsageError", message: /This is the imatrix of another model/ });
});
