import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { CancelledError, UsageError } from "../errors.js";
import { metadataString } from "../gguf/metadata.js";
import { openModel } from "../model/open.js";
import { rowCount } from "../model/source.js";
import { quantize } from "../quantize/quantize.js";
import { verify } from "../quantize/verify.js";
import { halfScalesOf } from "../quants/half-scales.js";
import { traitsOf } from "../quants/types.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { scales } from "./scales.js";
import type { ScalesOptions } from "./scales-command.js";

const source = fixture("tiny-moe-q8_0.gguf");
const calibration = fixture("text/calibration.txt");
const engine = new Engine();
after(() => engine.close());

const model = join(await temporaryFolder({ after }), "model.gguf");

before(async () => {
  await quantize({
    model: source,
    output: model,
    recipe: "asym-2bit-experts",
    imatrix: fixture("reference/imatrix.gguf"),
    allowRequantize: true,
    effort: "fast",
    // Scales of three kinds: of superblocks of 256, with minima, of blocks of 32; a layer that has none in F16.
    tensorType: ["blk\\.1\\..*gate_exps=Q2_K", "blk\\.1\\..*up_exps=Q4_0", "blk\\.2\\..*up_exps=IQ1_M"],
  });
});

const fit = (output: string, options: Partial<ScalesOptions> = {}) =>
  scales({
    model,
    output,
    source,
    calibration,
    parseSpecial: true,
    ctx: 128,
    chunks: 64,
    engine,
    ...options,
  });

test("scales that are fitted lower what is left of every layer's error, and change nothing else", async (t) => {
  const output = join(await temporaryFolder(t), "out.gguf");
  const result = await fit(output);
  assert.deepEqual(
    result.layers.map(({ tensors }) => tensors.length),
    [2, 2, 0, 2],
  );
  for (const { layer, before: error, after: left, tensors } of result.layers) {
    assert.ok(tensors.length === 0 ? left === error : left < 0.95 * error, `${layer}: ${error}, ${left}`);
  }
  const [own, theirs] = [await openModel(output), await openModel(model)];
  const changed = new Set(result.layers.flatMap(({ tensors }) => tensors));
  for (const [i, tensor] of theirs.tensors.entries()) {
    const rows = rowCount(tensor.shape);
    const [was, is] = [await tensor.readRows(0, rows), await own.tensors[i]!.readRows(0, rows)];
    assert.equal(Buffer.compare(was, is) !== 0, changed.has(tensor.name), tensor.name);
    const { blockBytes } = traitsOf(tensor.type);
    const places = halfScalesOf(tensor.type)?.flatMap((place) => [place, place + 1]) ?? [];
    const isScale = (at: number) => places.includes(at % blockBytes);
    assert.ok(
      was.every((byte, at) => byte === is[at] || isScale(at)),
      tensor.name,
    );
  }
  assert.match(metadataString(own.metadata, "lopsided.scales") ?? "", /on 8192 tokens of calibration\.txt/);
  assert.equal(
    metadataString(own.metadata, "lopsided.recipe"),
    metadataString(theirs.metadata, "lopsided.recipe"),
  );
  await Promise.all([own.close(), theirs.close()]);
  const verified = await verify({ model: output, source });
  assert.equal(verified.compared?.length, verified.tensors);
});

test("the same file comes of any number of threads, and of a run that was stopped between layers", async (t) => {
  const folder = await temporaryFolder(t);
  const [one, three, stopped] = ["one", "three", "stopped"].map((name) => join(folder, `${name}.gguf`)) as [
    string,
    string,
    string,
  ];
  const few = { chunks: 16 };
  await fit(one, { ...few, threads: 1 });
  await fit(three, { ...few, threads: 3 });
  const stop = new AbortController();
  const stopping = fit(stopped, {
    ...few,
    threads: 3,
    signal: stop.signal,
    onProgress: ({ step, done }) => step === "scales" && done >= 30 && stop.abort(),
  });
  await assert.rejects(stopping, CancelledError);
  assert.ok(!existsSync(stopped));
  const { resumedFrom } = await fit(stopped, few);
  assert.ok(resumedFrom > 0 && resumedFrom < 4);
  const [first, ...others] = await Promise.all([one, three, stopped].map((path) => readFile(path)));
  assert.ok(others.every((other) => other.equals(first!)));
  assert.deepEqual((await readdir(folder)).sort(), ["one.gguf", "stopped.gguf", "three.gguf"]);
});

test("of a text of few chunks the end of each is held out: it judges, and nothing is fitted to it", async (t) => {
  const folder = await temporaryFolder(t);
  const text = await readFile(calibration, "utf8");
  // About 940 of 1024 tokens, of which 896 are fitted to.
  const start = text.slice(0, 2850);
  const [own, other] = [text.slice(2850, 9000), text.slice(12000, 18000)];
  const fitTo = async (name: string, end: string) => {
    const [path, output] = [join(folder, `${name}.txt`), join(folder, `${name}.gguf`)];
    await writeFile(path, start + end);
    const { layers } = await fit(output, { calibration: path, ctx: 1024, chunks: 1 });
    const opened = await openModel(output);
    const tensors = opened.tensors.filter((tensor) => layers[0]!.tensors.includes(tensor.name));
    const rows = await Promise.all(tensors.map((tensor) => tensor.readRows(0, rowCount(tensor.shape))));
    await opened.close();
    return { first: layers[0]!, rows: rows.map((bytes) => Buffer.from(bytes)) };
  };
  const [one, two] = [await fitTo("own", own), await fitTo("other", other)];
  assert.equal(one.first.tensors.length, 2);
  assert.deepEqual(one.rows, two.rows);
  assert.notEqual(one.first.before, two.first.before);
});

test("a model whose scales cannot be fitted is refused in one sentence that says why", async (t) => {
  const folder = await temporaryFolder(t);
  const output = join(folder, "out.gguf");
  const fused = join(folder, "gemma4.gguf");
  await writeTinyModel(engine, "gemma4", fused);
  for (const [options, message] of [
    [
      { model: fused },
      /is of the architecture gemma4, of which it is not known .* so that its scales cannot be fitted/,
    ],
    [{ source: fused }, /has no tensor blk\.0\.ffn_gate_exps\.weight; name the model that .* was made from/],
  ] as const) {
    await assert.rejects(
      fit(output, options),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  }
  assert.ok(!existsSync(output));
});
