import assert from "node:assert/strict";
import { copyFile, open } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { FileSource } from "../bytes/source.js";
import { type GgufTensor, readGgufHeader } from "../gguf/reader.js";
import type { VerifyResult } from "../quantize/verify.js";
import { fixture, lopsided } from "../testing/command.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";

const tiny = fixture("tiny-moe-q8_0.gguf");
const rowBytes = 272; // 256 weights as Q8_0
const matrixBytes = 256 * rowBytes;

async function verifyJson(args: readonly string[]): Promise<VerifyResult> {
  const { status, stdout, stderr } = await lopsided(["verify", ...args, "--json"]);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as VerifyResult;
}

/** A copy of the tiny model in which `change` may damage the bytes of a tensor. */
async function damaged(folder: string, name: string, change: (tensor: Buffer) => void): Promise<string> {
  const path = join(folder, "damaged.gguf");
  await copyFile(tiny, path);
  const source = await FileSource.open(tiny);
  const { offset, byteLength } = (await readGgufHeader(source)).tensors.find(
    (tensor) => tensor.name === name,
  ) as GgufTensor;
  const bytes = Buffer.from(await source.read(offset, byteLength));
  await source.close();
  change(bytes);
  const file = await open(path, "r+");
  await file.write(bytes, 0, bytes.byteLength, offset);
  await file.close();
  return path;
}

describe("lopsided verify", () => {
  it("finds nothing wrong with a sound model, and says what it looked at", async () => {
    const result = await verifyJson([tiny]);
    assert.equal(result.tensors, 51);
    assert.equal(result.weights, 14437120);
    assert.deepEqual(result.unchecked, []);
    assert.deepEqual(result.zeroBlocks, []);
    assert.equal(result.compared, undefined);
    const { status, stdout } = await lopsided(["verify", fixture("tiny-moe")]);
    assert.equal(status, 0);
    assert.match(stdout, /tiny-moe: 51 tensors, 14\.44 M weights decoded, all finite/);
  });

  it("compares a sample of every tensor with the source", async () => {
    const { compared } = await verifyJson([tiny, "--source", fixture("tiny-moe")]);
    assert.equal(compared?.length, 51);
    for (const { name, from, to, rows, relativeError, gain } of compared) {
      assert.ok(rows > 0, name);
      assert.ok(relativeError < 1e-4 && relativeError >= 0, name);
      assert.ok(Math.abs(gain - 1) < 1e-3, name);
      if (to === "Q8_0") {
        assert.equal(from, "BF16");
      } else {
        assert.equal(relativeError, 0, name);
      }
    }
  });

  it("names tensor, expert and row of a scale that is not finite", async (t) => {
    const path = await damaged(await temporaryFolder(t), "blk.2.ffn_up_exps.weight", (tensor) => {
      tensor.writeUInt16LE(0x7e00, 11 * matrixBytes + 77 * rowBytes + 3 * 34); // a half that is NaN
    });
    const { status, stdout, stderr } = await lopsided(["verify", path]);
    assert.equal(
      stderr,
      `lopsided: ${path}: blk.2.ffn_up_exps.weight, expert 11: row 77 has the weight NaN at column 96. The file is damaged; download or convert it again.\n`,
    );
    assert.equal(stdout, "");
    assert.equal(status, 1);
  });

  it("reports zero scales by expert, and rows that are lost in comparison with the source", async (t) => {
    const path = await damaged(await temporaryFolder(t), "blk.1.ffn_down_exps.weight", (tensor) => {
      tensor.fill(0, 9 * matrixBytes, 10 * matrixBytes);
      tensor.fill(0, 3 * matrixBytes, 3 * matrixBytes + 34);
    });
    const { zeroBlocks } = await verifyJson([path]);
    const common = { tensor: "blk.1.ffn_down_exps.weight", type: "Q8_0", blocks: 2048 };
    assert.deepEqual(zeroBlocks, [
      { ...common, expert: 3, zeroBlocks: 1 },
      { ...common, expert: 9, zeroBlocks: 2048 },
    ]);
    const { stdout } = await lopsided(["verify", path]);
    assert.match(stdout, /blk\.1\.ffn_down_exps\.weight +9 +Q8_0 +2048 of 2048 +100\.00 %/);
  });

  it("notices experts in the wrong order", async (t) => {
    const path = await damaged(await temporaryFolder(t), "blk.0.ffn_gate_exps.weight", (tensor) => {
      const experts = Array.from({ length: 16 }, (_, i) =>
        Buffer.from(tensor.subarray(i * matrixBytes, (i + 1) * matrixBytes)),
      );
      for (const [i, expert] of experts.entries()) {
        expert.copy(tensor, ((i + 1) % 16) * matrixBytes);
      }
    });
    const { status, stderr } = await lopsided(["verify", path, "--source", tiny]);
    assert.match(
      stderr,
      /^lopsided: \S+: blk\.0\.ffn_gate_exps\.weight, expert \d+: row \d+ has nothing to do with the source's: the relative error is \d\.\d\d\. Write the model again\.\n$/,
    );
    assert.equal(status, 1);
    assert.equal((await lopsided(["verify", path])).status, 0);
  });

  it("refuses a source of another shape", async (t) => {
    const folder = await temporaryFolder(t);
    const path = join(folder, "small.gguf");
    await writeGgufFile(path, { tensors: [{ name: "output_norm.weight", shape: [32], type: "F32" }] });
    const { status, stderr } = await lopsided(["verify", tiny, "--source", path]);
    assert.match(
      stderr,
      /is in .*tiny-moe-q8_0\.gguf but not in .*small\.gguf; name the model that it was made from/,
    );
    assert.equal(status, 2);
  });
});
