import assert from "node:assert/strict";
import { mkdir, readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { writeGgufFile } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";
import { quantize } from "./quantize.js";

/** Experts of 32 slices in all, and what is not worth keeping. */
const file = {
  metadata: { "general.architecture": "llama", "llama.block_count": 1, "llama.expert_count": 16 },
  tensors: [
    { name: "blk.0.ffn_up_exps.weight", shape: [256, 24, 16], type: "F32" },
    { name: "blk.0.ffn_down_exps.weight", shape: [256, 24, 16], type: "F32" },
    { name: "output.weight", shape: [256, 16], type: "F32" },
  ],
} as const;

async function setUp(t: TestContext) {
  const folder = await temporaryFolder(t);
  const model = await writeGgufFile(join(folder, "model.gguf"), file);
  const cache = join(folder, "cache");
  let outputs = 0;
  const run = async (options: {
    base?: string;
    tensorType?: string[];
    cacheSize?: number;
    cache?: string;
  }) => {
    const output = join(folder, `${outputs++}.gguf`);
    const { cachedShare } = await quantize({
      model,
      output,
      base: "Q4_K",
      threads: 1,
      outputTensorType: "Q8_0",
      ...options,
    });
    return { share: cachedShare, bytes: await readFile(output) };
  };
  return { folder, cache, run };
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

const experts = 2 * 256 * 24 * 16;
const all = experts + 256 * 16;

describe("quantize with a cache", () => {
  it("encodes again only what is encoded otherwise, to the same bytes", async (t) => {
    const { cache, run } = await setUp(t);
    const without = await run({});
    const first = await run({ cache });
    const again = await run({ cache });
    const changed = await run({ cache, tensorType: ["ffn_up=Q5_K"] });
    assert.deepEqual(
      [without, first, again, changed].map(({ share }) => share),
      [undefined, 0, experts / all, experts / 2 / all],
    );
    assert.deepEqual(first.bytes, without.bytes);
    assert.deepEqual(again.bytes, without.bytes);
    assert.deepEqual(changed.bytes, (await run({ tensorType: ["ffn_up=Q5_K"] })).bytes);
  });

  it("takes nothing that is damaged, cut off or under another's name", async (t) => {
    const { cache, run } = await setUp(t);
    const { bytes } = await run({ cache });
    const kept = await filesIn(cache);
    assert.equal(kept.length, 32);
    for (const [i, path] of kept.entries()) {
      const damaged = await readFile(path);
      damaged[(i * 61) % damaged.length]! ^= 1 << (i % 8);
      await writeFile(path, i % 8 === 0 ? damaged.subarray(0, i) : damaged);
    }
    await writeFile(kept[1]!, await readFile(kept[2]!));
    const again = await run({ cache });
    assert.equal(again.share, 0);
    assert.deepEqual(again.bytes, bytes);
    assert.equal((await run({ cache })).share, experts / all);
  });

  it("keeps to its size, and runs beside others in the same folder", async (t) => {
    const { cache, run } = await setUp(t);
    const [one, two, three] = await Promise.all([
      run({ cache, cacheSize: 1e6 }),
      run({ cache, cacheSize: 1e6 }),
      run({ cache, cacheSize: 1e6, base: "Q5_K" }),
    ]);
    assert.deepEqual(one!.bytes, two!.bytes);
    assert.deepEqual(three!.bytes, (await run({ base: "Q5_K" })).bytes);
    for (const base of ["Q6_K", "Q4_0", "Q5_0", "IQ4_XS", "Q3_K", "IQ4_NL", "Q4_1", "Q5_1", "Q2_K"]) {
      await run({ cache, cacheSize: 1e6, base });
      const sizes = await Promise.all((await filesIn(cache)).map(async (path) => (await stat(path)).size));
      const total = sizes.reduce((sum, size) => sum + size, 0);
      assert.ok(total <= 1e6, String(total));
    }
    assert.equal((await run({ cache, base: "Q2_K" })).share, experts / all, "the latest are still there");
  });

  it("removes no file that is not its own", async (t) => {
    const { cache, run } = await setUp(t);
    const foreign = [
      join(cache, "m.gguf"),
      join(cache, "slices", "ab", "m.gguf"),
      join(cache, "slices", "mine"),
    ];
    const large = Buffer.alloc(1.1e6, 7);
    await mkdir(join(cache, "slices", "ab"), { recursive: true });
    for (const path of foreign) {
      await writeFile(path, large);
      await utimes(path, 0, 0);
    }
    await run({ cache, cacheSize: 1e6 });
    for (const path of foreign) {
      assert.deepEqual(await readFile(path), large);
    }
  });

  it("says that a folder cannot be one", async (t) => {
    const { folder, run } = await setUp(t);
    await assert.rejects(run({ cache: join(folder, "model.gguf") }), {
      name: "EnvironmentError",
      message: /model\.gguf: cannot be used as a cache \(ENOTDIR|EEXIST\); name a folder/,
    });
  });
});
