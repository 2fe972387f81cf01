import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { MemorySource } from "../bytes/source.js";
import { readGgufHeader } from "../gguf/reader.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { convert } from "./convert.js";
import { quantize } from "./quantize.js";

const model = await readFile(fixture("tiny-moe-q8_0.gguf"));
const { tensors } = await readGgufHeader(new MemorySource("model", model));

/** The model with a few bytes of a tensor replaced. */
function damaged(name: string, at: number, bytes: readonly number[]): Buffer {
  const offset = tensors.find((tensor) => tensor.name === name)?.offset ?? Number.NaN;
  const copy = Buffer.from(model);
  copy.set(bytes, offset + at);
  return copy;
}

const nan32 = [0, 0, 0xc0, 0x7f];
const infinity16 = [0, 0x7c];
const nan16 = [0, 0x7e];

describe("what is kept as it is, is looked at all the same", () => {
  for (const [what, name, at, bytes, options] of [
    ["a norm", "blk.1.ffn_norm.weight", 4 * 17, nan32, { base: "Q4_0" }],
    ["a router", "blk.2.ffn_gate_inp.weight", 4 * 300, nan32, { base: "Q4_0" }],
    ["a kept scale", "blk.0.attn_q.weight", 34 * 9, nan16, { base: "Q8_0" }],
    ["a scale under COPY", "blk.3.ffn_up_exps.weight", 34 * 8 * 700, infinity16, { base: "COPY" }],
  ] as const) {
    it(`${what} that is not finite is an error, and nothing gets its name`, async (t) => {
      const folder = await temporaryFolder(t);
      const source = join(folder, "source.gguf");
      await writeFile(source, damaged(name, at, bytes));
      const output = join(folder, "out.gguf");
      await assert.rejects(
        quantize({ model: source, output, ...options, allowRequantize: true, threads: 0 }),
        (error: Error) => {
          assert.equal(error.name, "MalformedInputError");
          assert.ok(error.message.startsWith(name), error.message);
          assert.match(error.message, /row \d+ has the weight (NaN|-?Infinity) at column \d+\./);
          return true;
        },
      );
      assert.deepEqual(await readdir(folder), ["source.gguf"]);
    });
  }

  it("in what convert takes over, too", async (t) => {
    const folder = await temporaryFolder(t);
    const source = join(folder, "model");
    await mkdir(source);
    await cp(fixture("tiny-moe"), source, { recursive: true });
    const path = join(source, "model.safetensors");
    const bytes = await readFile(path);
    const headerLength = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerLength));
    for (const name of ["model.norm.weight", "model.layers.1.mlp.gate.weight"]) {
      const copy = Buffer.from(bytes);
      copy.writeUInt16LE(0x7fc0, 8 + headerLength + header[name].data_offsets[0] + 6);
      await writeFile(path, copy);
      for (const type of ["BF16", "F32"] as const) {
        await assert.rejects(
          convert({ folder: source, output: join(folder, "out.gguf"), type, threads: 0 }),
          {
            name: "MalformedInputError",
            message: /row 0 has the weight NaN at column 3\./,
          },
        );
      }
    }
    assert.deepEqual(await readdir(folder), ["model"]);
  });
});
