import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { FileSource } from "../bytes/source.js";
import { Engine } from "../engine/engine.js";
import { computeLogits, tokenizeText } from "../engine/jobs.js";
import { readGgufHeader } from "../gguf/reader.js";
import { imatrix } from "../imatrix/compute.js";
import { quantize } from "../quantize/quantize.js";
import { fixture, lopsided } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { perplexity } from "./measure.js";
import type { PerplexityOptions } from "./perplexity-command.js";

const model = fixture("tiny-moe-q8_0.gguf");
const text = fixture("text/eval.txt");
const engine = new Engine();
after(() => engine.close());

function measure(options: Partial<PerplexityOptions> = {}) {
  const defaults = { ctx: 128, chunks: 6, parseSpecial: true, threads: 1, engine };
  return perplexity({ model, text, ...defaults, ...options });
}

function near(actual: number, expected: number, relative: number): void {
  assert.ok(Math.abs(actual - expected) <= relative * Math.abs(expected), `${actual} against ${expected}`);
}

test("perplexity is that of the second half of each chunk, computed alone", async () => {
  const bytes = await readFile(text);
  const tokens = await engine.run(tokenizeText, {
    model: { path: model },
    text: bytes,
    options: { parseSpecial: true },
  });
  let sum = 0;
  for (let chunk = 0; chunk < 6; chunk++) {
    const part = tokens.slice(chunk * 128, (chunk + 1) * 128);
    const logits = await engine.run(computeLogits, {
      model: { path: model },
      tokens: part,
      everyPosition: true,
    });
    for (let position = 64; position < 127; position++) {
      const row = logits.subarray(position * 2048, (position + 1) * 2048);
      const total = row.reduce((all, logit) => all + Math.exp(logit), 0);
      sum += Math.log(total) - row[part[position + 1]!]!;
    }
  }
  const result = await measure();
  // Other batches are other sums: the last digits differ.
  near(result.ppl, Math.exp(sum / (6 * 63)), 1e-3);
  assert.deepEqual([result.chunks, result.tokens, result.positions], [6, 6 * 128, 6 * 63]);
  assert.equal(result.kld, undefined);
});

test("a model does not differ from itself, through a reference or a base file", async (t) => {
  const base = join(await temporaryFolder(t), "base.logits");
  const plain = await measure({ saveAllLogits: base });
  const reference = await measure({ reference: model });
  assert.equal(reference.ppl, plain.ppl);
  assert.equal(reference.kld?.max, 0);
  assert.deepEqual([reference.topAgreement, reference.pplRatio, reference.deltaP?.rms], [1, 1, 0]);
  const compared = await measure({ klDivergenceBase: base });
  assert.equal(compared.ppl, plain.ppl);
  near(compared.pplRatio!, 1, 1e-5);
  assert.ok(Math.abs(compared.kld!.mean) < 1e-6);
  assert.ok(compared.topAgreement! > 0.99);
});

test("one window of layers, two, or one for each layer give the same numbers to the bit", async (t) => {
  const other = join(await temporaryFolder(t), "q2.gguf");
  const made = await lopsided(["quantize", model, other, "--recipe", "Q2_K", "--allow-requantize"]);
  assert.equal(made.status, 0, made.stderr);
  const figures = async (options: Partial<PerplexityOptions>) => {
    // In windows no floor is found.
    const {
      seconds: _,
      tokensPerSecond: __,
      floor: ___,
      ...rest
    } = await measure({ model: other, ...options });
    return rest;
  };
  const [whole, alone] = [await figures({ reference: model }), await figures({})];
  assert.ok(whole.kld!.mean > 1e-3, "the quantization can be seen");
  for (const layersPerWindow of [1, 2, 4]) {
    assert.deepEqual(await figures({ reference: model, layersPerWindow }), whole);
    assert.deepEqual(await figures({ layersPerWindow }), alone);
  }
});

test("several texts are measured in one run, each as if it were alone", async () => {
  const tasks = fixture("text/calibration.txt");
  const reference = model;
  const both = await measure({ text: [`eval=${text}`, tasks], chunks: 4, reference });
  assert.deepEqual(
    both.texts.map(({ name, chunks, positions }) => [name, chunks, positions]),
    [
      ["eval", 4, 4 * 63],
      ["calibration.txt", 4, 4 * 63],
    ],
  );
  for (const [at, alone] of [text, tasks].entries()) {
    // Chunks in other places of a batch are other sums.
    near(both.texts[at]!.ppl, (await measure({ text: alone, chunks: 4 })).ppl, 1e-3);
  }
  const chunks = both.texts.flatMap(({ perChunk }) => perChunk);
  const sum = chunks.reduce((total, { nll, positions }) => total + nll * positions, 0);
  near(both.ppl, Math.exp(sum / both.positions), 1e-9);
  await assert.rejects(measure({ text: [text, text] }), /two texts are called "eval\.txt"/);
});

test("of conversations what the assistant says is scored, as far as the model's template writes it", async (t) => {
  const path = join(await temporaryFolder(t), "talk.jsonl");
  const messages = [
    { role: "user", content: "Write a Python function that adds two numbers." },
    { role: "assistant", content: "def add(a, b):\n    return a + b" },
    { role: "user", content: "Thanks." },
    { role: "assistant", content: "You are welcome." },
  ];
  await writeFile(
    path,
    `${JSON.stringify({ messages })}\n${JSON.stringify({ messages: messages.slice(0, 2) })}\n`,
  );
  const prompt = (upTo: number) =>
    `${messages
      .slice(0, upTo)
      .map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`)
      .join("")}<|im_start|>assistant\n`;
  const tokenize = async (given: string) =>
    await engine.run(tokenizeText, {
      model: { path: model },
      text: Buffer.from(given),
      options: { parseSpecial: true },
    });
  const nllOf = async (begin: string, said: string) => {
    const [before, tokens] = [await tokenize(begin), await tokenize(begin + said)];
    const logits = await engine.run(computeLogits, { model: { path: model }, tokens, everyPosition: true });
    let nll = 0;
    for (let at = before.length; at < tokens.length; at++) {
      const row = logits.subarray((at - 1) * 2048, at * 2048);
      nll += Math.log(row.reduce((all, logit) => all + Math.exp(logit), 0)) - row[tokens[at]!]!;
    }
    return { nll, count: tokens.length - before.length };
  };
  const first = await nllOf(prompt(1), `${messages[1]!.content}<|im_end|>\n`);
  const second = await nllOf(prompt(3), `${messages[3]!.content}<|im_end|>\n`);
  const { texts } = await measure({ text: `chat=${path}`, ctx: 128 });
  assert.equal(texts[0]!.positions, 2 * first.count + second.count);
  near(Math.log(texts[0]!.ppl), (2 * first.nll + second.nll) / texts[0]!.positions, 2e-3);
  // Cut into chunks that overlap, all of it is still scored once.
  const overlapping = await measure({ text: `chat=${path}`, ctx: 32 });
  assert.equal(overlapping.positions, 2 * first.count + second.count);
  await writeFile(path, '{"messages": "none"}\n');
  await assert.rejects(measure({ text: path }), /talk\.jsonl:1: is not a conversation: messages/);
});

test("routers of a model whose expert is damaged differ above the damage, and nowhere else", async (t) => {
  const damaged = join(await temporaryFolder(t), "damaged.gguf");
  const bytes = await readFile(model);
  const file = await FileSource.open(model);
  t.after(() => file.close());
  const { tensors } = await readGgufHeader(file);
  const { offset, byteLength } = tensors.find(({ name }) => name === "blk.1.ffn_down_exps.weight")!;
  // The first of sixteen experts.
  bytes.fill(0, offset, offset + byteLength / 16);
  await writeFile(damaged, bytes);
  for (const layersPerWindow of [undefined, 1]) {
    const { routing } = await measure({ model: damaged, reference: model, chunks: 2, layersPerWindow });
    assert.deepEqual(
      routing!.map(({ layer }) => layer),
      [0, 1, 2, 3],
    );
    for (const { layer, sameExperts, sharedExperts, movedProbability, tokens } of routing!) {
      // Of the last layer only what is scored is computed.
      assert.equal(tokens, layer === 3 ? 2 * 64 : 2 * 128);
      assert.equal(sameExperts === 1 && sharedExperts === 1 && movedProbability === 0, layer < 2, `${layer}`);
      assert.ok(layer < 2 || (sameExperts < 0.95 && movedProbability! > 0.005), `${layer}: ${sameExperts}`);
    }
  }
});

test("a text that the model was calibrated on is known by what it says", async (t) => {
  const folder = await temporaryFolder(t);
  const [matrix, made, renamed] = ["im.gguf", "q4.gguf", "other.txt"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const calibration = fixture("text/calibration.txt");
  await imatrix({
    model,
    text: calibration,
    output: matrix,
    ctx: 256,
    parseSpecial: true,
    threads: 1,
    engine,
  });
  await quantize({ model, output: made, recipe: "Q4_0", imatrix: matrix, allowRequantize: true });
  const words = (await readFile(calibration, "utf8")).slice(3001);
  await writeFile(renamed, words);
  const warnings: string[] = [];
  const onWarning = (warning: string) => warnings.push(warning);
  const own = await measure({ model: made, text: [`seen=${renamed}`, `new=${text}`], onWarning });
  assert.ok(own.texts[0]!.calibratedOn! > 0.9 && own.texts[1]!.calibratedOn! < 0.2);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /^seen: \d+ % of it is text that q4\.gguf was calibrated on \(im\.gguf\)/);
  // Another file of that name is not its matrix, unless one says so.
  const elsewhere = await measure({ text: renamed });
  assert.equal(elsewhere.texts[0]!.calibratedOn, undefined);
  const told = await measure({ text: renamed, imatrix: matrix });
  assert.ok(told.texts[0]!.calibratedOn! > 0.9);
});

test("the floor is the reference beside itself, far below a quantization, on some chunks of each text", async (t) => {
  const other = join(await temporaryFolder(t), "q2.gguf");
  await quantize({ model, output: other, recipe: "Q2_K", allowRequantize: true });
  const texts = [`eval=${text}`, `notes=${fixture("text/calibration.txt")}`];
  const result = await measure({ model: other, text: texts, reference: model, chunks: 24 });
  const floor = result.floor!;
  // The first four of each, which are in the first two of the three batches of 16 chunks.
  assert.deepEqual([floor.chunks, floor.positions], [32, 32 * 63]);
  assert.ok(floor.kld.mean > 0 && floor.kld.mean < result.kld!.mean / 20, `${floor.kld.mean}`);
  assert.ok(floor.topAgreement > 0.99 && floor.sameExperts! > 0.98 && floor.sameExperts! < 1);
  assert.deepEqual(
    floor.texts.map(({ name }) => name),
    ["eval", "notes"],
  );
  assert.equal((await measure({ reference: model, floor: false })).floor, undefined);
  assert.equal((await measure()).floor, undefined);
});

test("divergence is told by the place in the chunk, from the first position that is scored", async () => {
  const { byPosition, ppl, positions } = await measure({ chunks: 3 });
  assert.deepEqual(
    byPosition.map(({ from, to, positions: count }) => [from, to, count]),
    [
      [64, 80, 48],
      [80, 96, 48],
      [96, 112, 48],
      [112, 128, 45],
    ],
  );
  const nll = byPosition.reduce((sum, range) => sum + range.nll * range.positions, 0) / positions;
  near(Math.exp(nll), ppl, 1e-9);
});

test("a chunk longer than a batch is measured in pieces", async () => {
  const pieces = await measure({ ctx: 2500, chunks: 1, text });
  assert.equal(pieces.positions, 1249);
  assert.ok(pieces.ppl > 1 && pieces.ppl < 50);
});

test("special tokens in the text are read as such only if asked for", async () => {
  const asText = await measure({ parseSpecial: false });
  assert.ok(asText.ppl > 1.2 * (await measure()).ppl);
});

test("what cannot work is said in one sentence", async (t) => {
  const folder = await temporaryFolder(t);
  const [short, base] = [join(folder, "short.txt"), join(folder, "base.logits")];
  await writeFile(short, "one two three");
  await measure({ saveAllLogits: base, chunks: 2 });
  await writeFile(join(folder, "cut"), (await readFile(base)).subarray(0, -1));
  const failures: [Partial<PerplexityOptions>, RegExp][] = [
    [{ text: short }, /short\.txt: has 4 tokens, but two chunks of 128 need 256\./],
    [{ text: join(folder, "none") }, /none: cannot be read; check the path\./],
    [{ klDivergenceBase: short }, /short\.txt: is not a file of log-probabilities/],
    [
      { klDivergenceBase: join(folder, "cut") },
      /cut: has \d+ bytes, but 2 chunks of 128 tokens .* take \d+\./,
    ],
    [{ klDivergenceBase: base, reference: model }, /exclude each other/],
    [{ ctx: 3 }, /`ctx` is 3/],
    [{ reference: fixture("text/eval.txt") }, /is not a GGUF file/],
    [{ saveAllLogits: join(folder, "no", "x") }, /folder/],
  ];
  for (const [options, message] of failures) {
    await assert.rejects(measure(options), message);
  }
});

test("the command prints the comparison, or one JSON object", async () => {
  const args = [
    "perplexity",
    model,
    text,
    "--ctx",
    "128",
    "--chunks",
    "4",
    "--parse-special",
    "--reference",
    model,
  ];
  const people = await lopsided(args);
  assert.equal(people.status, 0, people.stderr);
  assert.match(people.stdout, /^perplexity \d+\.\d{4} ± \d+\.\d{4} \(4 chunks, 252 scored tokens/);
  assert.match(people.stdout, /top-1 agreement +100\.000 %/);
  const { ppl, kld, topAgreement } = JSON.parse((await lopsided([...args, "--json"])).stdout);
  assert.ok(ppl > 1);
  assert.deepEqual([kld.mean, topAgreement], [0, 1]);
});
