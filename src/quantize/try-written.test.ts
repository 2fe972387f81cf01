import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { fixture } from "../testing/command.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { runnableGeometries } from "../testing/runnable-geometries.js";
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
  const { metadata, tensors } = runnableGeometries.qwen3;
  // llama.cpp loads a norm of 16 bits, and has no product of it with float32.
  const ofHalves = tensors.map((tensor) =>
    tensor.name === "blk.1.attn_norm.weight" ? { ...tensor, type: "F16" as const } : tensor,
  );
  await writeGgufFile(model, {
    metadata: new Map([...metadata, ["tokenizer.ggml.model", { type: "string", value: "no_vocab" }]]),
    tensors: ofHalves,
  });
  const warnings: string[] = [];
  const onWarning = (warning: string) => warnings.push(warning);
  const output = join(folder, "out.gguf");
  const result = await quantize({ model, output, recipe: "Q4_K", decode: true, engine, onWarning });
  assert.equal(result.runs, false);
  assert.match(result.runProblem ?? "", /out\.gguf: llama\.cpp does not run it; check its types/);
  assert.ok(warnings.includes(result.runProblem ?? ""));
  assert.deepEqual((await readdir(folder)).sort(), ["model.gguf", "out.gguf"]);
});
