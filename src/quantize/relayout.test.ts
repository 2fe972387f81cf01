import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Engine } from "../engine/engine.js";
import { openModel } from "../model/open.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { nextTokenLogits } from "../testing/logits.js";
import { quantize } from "./quantize.js";
import { relayout } from "./relayout.js";

const model = fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url));

async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "lopsided-relayout-"));
  t.after(() => rm(made, { recursive: true }));
  return made;
}

/** Names of a model's tensors with a digest of their rows, and its metadata. */
async function contents(path: string) {
  const source = await openModel(path);
  const tensors = new Map<string, Uint8Array>();
  for (const { name, shape, readRows } of source.tensors) {
    tensors.set(
      name,
      await readRows(
        0,
        shape.slice(1).reduce((product, size) => product * size, 1),
      ),
    );
  }
  await source.close();
  return { tensors, metadata: source.metadata };
}

describe("relayout", () => {
  it("without changes is a copy to the byte", async (t) => {
    const output = join(await folder(t), "out.gguf");
    const result = await relayout({ model, output });
    assert.deepEqual(await readFile(output), await readFile(model));
    assert.equal(result.renamed, 0);
  });

  it("renames tensors and keys, and the undone relayout gives the first bytes", async (t) => {
    const made = await folder(t);
    const [there, back] = [join(made, "there.gguf"), join(made, "back.gguf")];
    const result = await relayout({
      model,
      output: there,
      rename: ["^blk\\.(\\d+)\\.ffn_(gate|up)_exps=layer.$1.experts.$2"],
      renameKv: ["general.architecture=was.architecture"],
    });
    const { tensors, metadata } = await contents(there);
    const original = await contents(model);
    assert.ok(result.renamed > 0);
    assert.deepEqual(
      tensors.get("layer.1.experts.gate.weight"),
      original.tensors.get("blk.1.ffn_gate_exps.weight"),
    );
    assert.deepEqual(metadata.get("was.architecture"), original.metadata.get("general.architecture"));
    await relayout({
      model: there,
      output: back,
      rename: ["^layer\\.(\\d+)\\.experts\\.(gate|up)=blk.$1.ffn_$2_exps"],
      renameKv: ["was.architecture=general.architecture"],
    });
    assert.deepEqual(await readFile(back), await readFile(model));
  });

  it("drops tensors and metadata, and sets metadata in its place", async (t) => {
    const output = join(await folder(t), "out.gguf");
    const { dropped } = await relayout({
      model,
      output,
      drop: ["^output\\.weight$"],
      dropKv: ["tokenizer.chat_template"],
      overrideKv: ["general.name=str:another"],
    });
    const [changed, original] = [await contents(output), await contents(model)];
    assert.deepEqual(dropped, ["output.weight"]);
    assert.deepEqual(
      [...changed.tensors.keys()],
      [...original.tensors.keys()].filter((name) => name !== "output.weight"),
    );
    assert.deepEqual(
      [...changed.metadata.keys()],
      [...original.metadata.keys()].filter((key) => key !== "tokenizer.chat_template"),
    );
    assert.deepEqual(changed.metadata.get("general.name"), { type: "string", value: "another" });
  });

  it("splits a file, and merges the set to the first bytes", async (t) => {
    const made = await folder(t);
    const { files, output } = await relayout({ model, output: join(made, "set.gguf"), splitMaxSize: 1e6 });
    assert.ok(files.length > 1);
    await relayout({ model: output, output: join(made, "whole.gguf") });
    assert.deepEqual(await readFile(join(made, "whole.gguf")), await readFile(model));
  });

  it("refuses what finds nothing, would stand twice, or leaves nothing", async (t) => {
    const output = join(await folder(t), "out.gguf");
    for (const [options, message] of [
      [{ rename: ["nosuch=x"] }, /`rename` nosuch=x: no tensor has such a name/],
      [{ rename: ["nonsense"] }, /is not of the form PATTERN=NAME/],
      [{ rename: ["attn_[qk]\\.=attn."] }, /would both be called blk\.0\.attn\.weight/],
      [{ rename: [`^output\\.weight$=${"x".repeat(64)}`] }, /names of 1 to 63 bytes/],
      [{ drop: ["("] }, /`drop`: "\(" is not a regular expression/],
      [{ drop: [".*"] }, /no tensor would be left/],
      [{ dropKv: ["no.key"] }, /`dropKv` no\.key: the model has no metadata of that key/],
      [{ renameKv: ["general.name=general.architecture"] }, /would stand twice/],
      [{ overrideKv: ["general.architecture=int:3"] }, /llama\.cpp reads it as string/],
    ] as const) {
      await assert.rejects(relayout({ model, output, ...options }), { name: "UsageError", message });
    }
    await assert.rejects(readFile(output), { code: "ENOENT" });
  });

  it("removes what a killed run left of the same output, and nothing else", async (t) => {
    const made = await folder(t);
    const others = [".out.gguf.partial", ".other.gguf.partial-0123456789ab"];
    for (const name of [".out.gguf.partial-0123456789ab", ...others]) {
      await writeFile(join(made, name), "left");
    }
    await relayout({ model, output: join(made, "out.gguf") });
    assert.deepEqual((await readdir(made)).sort(), [...others, "out.gguf"].sort());
  });

  it("leaves the earlier file as it was when it is stopped", async (t) => {
    const output = join(await folder(t), "out.gguf");
    await writeFile(output, "earlier");
    await assert.rejects(relayout({ model, output, signal: AbortSignal.abort() }), {
      name: "CancelledError",
    });
    assert.equal(await readFile(output, "utf8"), "earlier");
  });

  it("fuses gate and up of experts and separates them again, and llama.cpp computes the same to the bit", async (t) => {
    const made = await folder(t);
    const mixed = join(made, "mixed.gguf");
    const paths = ["two", "one", "back"].map((name) => join(made, `${name}.gguf`));
    const [two = "", one = "", back = ""] = paths;
    const engine = new Engine();
    t.after(() => engine.close());
    await writeTinyModel(engine, "qwen35moe", two);
    await relayout({ model: two, output: one, fuseGateUp: true });
    await relayout({ model: one, output: back, unfuse: true });
    const [before, fused, after] = await Promise.all(paths.map(contents));
    const experts = (names: Iterable<string> = []) =>
      [...names].filter((name) => /blk\.0\.ffn_.*_exps/.test(name));
    assert.deepEqual(experts(fused?.tensors.keys()).sort(), [
      "blk.0.ffn_down_exps.weight",
      "blk.0.ffn_gate_up_exps.weight",
    ]);
    assert.deepEqual(after?.tensors, before?.tensors);
    const tokens = Array.from({ length: 24 }, (_, i) => 3 + 17 * i);
    const logits = nextTokenLogits(two, tokens);
    assert.ok(logits.every(Number.isFinite));
    assert.deepEqual(nextTokenLogits(one, tokens), logits);
    await assert.rejects(relayout({ model: one, output: back, fuseGateUp: true }), {
      name: "UsageError",
      message: /`fuseGateUp`: no layer has gate and up of routed experts as two tensors/,
    });
    await quantize({ model: two, output: mixed, base: "Q8_0", tensorType: ["ffn_up_exps=Q4_0"], threads: 0 });
    await assert.rejects(
      relayout({ model: mixed, output: one, fuseGateUp: true }),
      /one tensor has one type/,
    );
    await assert.rejects(relayout({ model, output: one, unfuse: true }), /of qwen3moe in one form only/);
  });
});
