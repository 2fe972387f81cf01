/** `make` of checkpoints on a web server: nothing of them is stored, and what comes out is what a converted file gives. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { openGguf } from "../model/gguf-model.js";
import { rowCount } from "../model/source.js";
import { convert } from "../quantize/convert.js";
import { fixture } from "../testing/command.js";
import { FileServer } from "../testing/file-server.js";
import { serveHub } from "../testing/hub.js";
import { temporaryFolder } from "../testing/temporary.js";
import { type MakeResult, make } from "./make.js";

/** A checkpoint with the tokenizer that all of them share. */
function filesOf(name: string): Record<string, Uint8Array> {
  const folders = [fixture(`convert/${name}/hf`), fixture("convert/tokenizer")];
  return Object.fromEntries(
    folders.flatMap((folder) => readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))])),
  );
}

/** Makes the scales of FP8 powers of two, so that scaled weights are BF16 exactly. */
function withExactScales(files: Record<string, Uint8Array>): Record<string, Uint8Array> {
  return Object.fromEntries(
    Object.entries(files).map(([file, bytes]) => [
      file,
      file.endsWith(".safetensors") ? rounded(bytes) : bytes,
    ]),
  );
}

function rounded(file: Uint8Array): Uint8Array {
  const copy = file.slice();
  const view = new DataView(copy.buffer);
  const begin = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(copy.subarray(8, begin)).toString()) as Record<
    string,
    { readonly data_offsets: readonly [number, number] }
  >;
  for (const [name, tensor] of Object.entries(header)) {
    if (!name.endsWith("_scale_inv")) {
      continue;
    }
    for (let at = begin + tensor.data_offsets[0]; at < begin + tensor.data_offsets[1]; at += 4) {
      view.setFloat32(at, 2 ** Math.round(Math.log2(view.getFloat32(at, true))), true);
    }
  }
  return copy;
}

/** All tensors of a GGUF file. */
async function tensorsOf(path: string): Promise<Record<string, Uint8Array>> {
  const model = await openGguf(path);
  const tensors: Record<string, Uint8Array> = {};
  for (const tensor of model.tensors) {
    tensors[tensor.name] = await tensor.readRows(0, rowCount(tensor.shape));
  }
  await model.close();
  return tensors;
}

async function madeOf(model: string, output: string, baseline?: "none"): Promise<MakeResult> {
  return await make({
    model,
    output,
    name: "tiny",
    calibration: fixture("text/calibration.txt"),
    chunks: 4,
    ctxCalibration: 64,
    evaluate: [fixture("text/eval.txt")],
    evaluateChunks: 2,
    ctxEvaluate: 64,
    baseline,
    threads: 1,
    check: false,
    explorer: false,
  });
}

async function written(folder: string): Promise<string[]> {
  return (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
}

async function comparedWithConverted(t: TestContext, files: Record<string, Uint8Array>, address: string) {
  const folder = await temporaryFolder(t);
  const [checkpoint, converted] = [join(folder, "tiny"), join(folder, "converted.gguf")];
  await mkdir(checkpoint);
  for (const [file, bytes] of Object.entries(files)) {
    await writeFile(join(checkpoint, file), bytes);
  }
  await convert({ folder: checkpoint, output: converted, type: "auto", threads: 1 });
  const direct = await madeOf(address, join(folder, "direct"));
  const byWay = await madeOf(converted, join(folder, "by-way"), "none");
  assert.deepEqual(direct.source.made, []);
  const left = (await written(join(folder, "direct"))).filter((name) => /\.(safetensors|gguf)/.test(name));
  assert.deepEqual(left.sort(), ["imatrix.gguf", `${direct.model.split("/").at(-1)}`].sort());
  assert.deepEqual(await tensorsOf(direct.model), await tensorsOf(byWay.model));
  assert.deepEqual(direct.evaluate?.model.evaluation.kld, byWay.evaluate?.model.evaluation.kld);
  const [ours, theirs] = await Promise.all(
    ["direct", "by-way"].map((name) => readFile(join(folder, name, "imatrix.gguf"))),
  );
  assert.deepEqual(ours, theirs);
}

describe("make of a checkpoint on a server", () => {
  it("of MXFP4 experts in a folder of a web server", async (t) => {
    const files = filesOf("gpt-oss-mxfp4");
    const server = await FileServer.start(
      t,
      Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`/models/tiny/${name}`, bytes])),
    );
    await comparedWithConverted(t, files, `${server.address}/models/tiny/`);
  });

  it("of FP8 weights in a repository of the Hub", async (t) => {
    const files = withExactScales(filesOf("deepseek3-fp8"));
    const server = await FileServer.start(t);
    serveHub(server, { repository: "someone/tiny", commit: "c".repeat(40), revisions: ["main"], files });
    process.env.HF_ENDPOINT = server.address;
    t.after(() => void delete process.env.HF_ENDPOINT);
    await comparedWithConverted(t, files, "hf://someone/tiny");
  });
});
