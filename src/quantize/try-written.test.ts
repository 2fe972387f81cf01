import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { quantize } from "./quantize.js";
import { verify } from "./verify.js";

const engine = new Engine();
after(() => engine.close());

test("llama.cpp decodes with what was written, a set of files too, before it gets its name", async (t) => {
  const folder = await temporaryFolder(t);
  const model = fixture("tiny-moe-q8_0.gguf");
  const output = join(folder, "out.gguf");
  const options = { model, output, recipe: "Q4_K", allowRequantize: true, splitMaxSize: 1_000_000 };
  const onWarning = (warning: string) => assert.doesNotMatch(warning, /llama\.cpp/);
  const { files = [], runs } = await quantize({ ...options, decode: true, engine, onWarning });
  assert.ok(files.length > 1);
  assert.equal(runs, true);
  assert.equal((await verify({ model: files[0]?.path ?? "", decode: true, engine })).runs, true);
});

test("a file that makes llama.cpp abort gets its name with a warning that says so", async (t) => {
  const folder = await temporaryFolder(t);
  const model = join(folder, "model.gguf");
  await writeTinyModel(engine, "minimax-01", model);
  const warnings: string[] = [];
  const onWarning = async (warning: string) => {
    warnings.push(warning);
  };
  const output = join(folder, "out.gguf");
  const result = await quantize({ model, output, recipe: "Q4_K", decode: true, engine, onWarning });
  assert.equal(result.runs, false);
  assert.match(
    result.runProblem ?? "",
    /out\.gguf: llama\.cpp does not run it with several sequences at once/,
  );
  assert.ok(warnings.includes(result.runProblem ?? ""));
  assert.deepEqual((await readdir(folder)).sort(), ["model.gguf", "out.gguf"]);
});
