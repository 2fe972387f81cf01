/** Published checkpoints as sources: read over HTTP, slice by slice, to the bytes that a converted file gives. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openGguf } from "../model/gguf-model.js";
import { openModel } from "../model/open.js";
import { type ModelSource, rowCount } from "../model/source.js";
import { FileServer, impatient } from "../testing/file-server.js";
import { serveHub } from "../testing/hub.js";
import { temporaryFolder } from "../testing/temporary.js";
import { writeModel } from "../write/write-model.js";
import { convert } from "./convert.js";

/** A checkpoint with the tokenizer that all of them share, by file name. */
function filesOf(name: string): Record<string, Uint8Array> {
  const folders = [`fixtures/convert/${name}/hf`, "fixtures/convert/tokenizer"];
  return Object.fromEntries(
    folders.flatMap((folder) => readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))])),
  );
}

/** Quantizes all matrices whose rows fill the blocks, and returns the tensors' bytes. */
async function quantized(source: ModelSource, output: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const tensors = source.tensors.map((tensor) => {
    const fills = tensor.shape.length > 1 && (tensor.shape[0] ?? 0) % 32 === 0;
    return { source: tensor, type: fills ? ("Q5_0" as const) : tensor.type };
  });
  await writeModel({
    source,
    output,
    tensors,
    metadata: () => source.metadata,
    step: "test",
    inputs: {},
    threads: 1,
  });
  await source.close();
  const written = await openGguf(output);
  const bytes = new Map<string, Uint8Array>();
  for (const tensor of written.tensors) {
    bytes.set(tensor.name, await tensor.readRows(0, rowCount(tensor.shape)));
  }
  await written.close();
  return bytes;
}

for (const [name, type] of [
  ["gpt-oss-mxfp4", "BF16"],
  // Products of FP8 and their scales are exact in float32, not in BF16.
  ["deepseek3-fp8", "F32"],
  ["kimi-k2-int4", "F32"],
] as const) {
  test(`${name} quantized from a server is ${name} quantized by way of a ${type} file`, async (t) => {
    const folder = await temporaryFolder(t);
    const server = await FileServer.start(t);
    const files = filesOf(name);
    serveHub(server, { repository: "someone/model", commit: "c".repeat(40), revisions: ["main"], files });
    process.env.HF_ENDPOINT = server.address;
    t.after(() => void delete process.env.HF_ENDPOINT);
    const remote = await openModel("hf://someone/model", { retry: impatient });
    const size = remote.byteLength;
    const direct = await quantized(remote, join(folder, "direct.gguf"));
    // Read for the header, for the work, for the sample that is verified, and for the checksum.
    assert.ok(server.bytesSent < 4 * size, `${server.bytesSent} bytes were sent of ${size}`);
    const local = await temporaryFolder(t);
    for (const [file, bytes] of Object.entries(files)) {
      await writeFile(join(local, file), bytes);
    }
    const converted = join(folder, "converted.gguf");
    await convert({ folder: local, output: converted, type, threads: 1 });
    const byWay = await quantized(await openGguf(converted), join(folder, "by-way.gguf"));
    assert.deepEqual([...direct.keys()].sort(), [...byWay.keys()].sort());
    for (const [tensor, bytes] of direct) {
      assert.deepEqual(bytes, byWay.get(tensor), tensor);
    }
  });
}
