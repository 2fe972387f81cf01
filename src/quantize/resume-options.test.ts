import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { CancelledError } from "../errors.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";
import { quantize } from "./quantize.js";

it("a run begun without leave to quantize again is not continued with it, since types differ", async (t) => {
  const folder = await temporaryFolder(t);
  const source = await writeGgufFile(join(folder, "source.gguf"), {
    metadata: { "general.architecture": "llama", "llama.block_count": 1 },
    tensors: [
      { name: "blk.0.ffn_up_exps.weight", shape: [256, 64, 40], type: "F32" },
      { name: "blk.0.ffn_down_exps.weight", shape: [256, 64, 40], type: "MXFP4" },
    ],
    seed: 1,
  });
  const output = join(folder, "out.gguf");
  const options = { model: source, output, recipe: "Q3_K_S", threads: 0 } as const;
  const stop = new AbortController();
  const onProgress = () => stop.abort();
  await assert.rejects(quantize({ ...options, onProgress, signal: stop.signal }), CancelledError);
  await assert.rejects(quantize({ ...options, resume: true, allowRequantize: true }), {
    name: "UsageError",
    message: /out\.gguf: its unfinished run was begun with another set of types; repeat/,
  });
  const resumed = await quantize({ ...options, resume: true });
  const bytes = await readFile(output);
  assert.equal(resumed.tensors.find(({ name }) => name.includes("down"))?.to, "MXFP4");
  const again = join(folder, "again.gguf");
  await quantize({ ...options, output: again });
  assert.deepEqual(await readFile(again), bytes);
});
