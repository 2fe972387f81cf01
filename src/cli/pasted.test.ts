/** Command lines of llama.cpp's tools: taken, or answered in one sentence that names what ours has. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { commands } from "../commands.js";
import { fixture, lopsided } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";

const model = fixture("tiny-moe-q8_0.gguf");
const text = fixture("text/eval.txt");

/** The JSON that a command prints, without what differs between runs or says how it was called. */
async function result(args: readonly string[]): Promise<Record<string, unknown>> {
  const outcome = await lopsided([...args, "--json"]);
  assert.equal(outcome.status, 0, outcome.stderr);
  return JSON.parse(outcome.stdout) as Record<string, unknown>;
}

test("convert takes the names of llama.cpp's converter", async (t) => {
  const folder = await temporaryFolder(t);
  const outputs = [join(folder, "pasted.gguf"), join(folder, "ours.gguf")] as const;
  const source = fixture("tiny-moe");
  const flags = ["--outtype", "f16", "--no-lazy", "--use-temp-file", "--no-mtp", "--split-max-size", "0.5G"];
  await result(["convert", source, "--outfile", outputs[0], ...flags]);
  await result(["convert", source, outputs[1], "--type", "f16", "--mtp", "drop"]);
  assert.deepEqual(await readFile(outputs[0]), await readFile(outputs[1]));
  const remote = await lopsided(["convert", source, outputs[0], "--outtype", "f16", "--remote"]);
  assert.equal(remote.status, 2);
  assert.equal(
    remote.stderr,
    "lopsided: --remote: name the repository as hf://owner/repository in the place of the folder, without it.\n",
  );
});

test("quantize takes llama-quantize's arguments, with the mix and the threads by their places", async (t) => {
  const folder = await temporaryFolder(t);
  const rest = ["--leave-output-tensor", "--pure", "--allow-requantize", "--dry-run"];
  const flags = ["--token-embedding-type", "q4_0", "--max-buffer-size", "512", ...rest];
  const pasted = await result(["quantize", ...flags, model, join(folder, "a.gguf"), "Q4_0", "1"]);
  const ours = ["--recipe", "Q4_0", "-t", "1", "--token-embedding-type", "Q4_0", ...rest];
  const own = await result(["quantize", model, join(folder, "a.gguf"), ...ours]);
  assert.deepEqual([pasted.bytes, pasted.tensors], [own.bytes, own.tensors]);
  const twice = await lopsided(["quantize", model, "a.gguf", "Q4_0", "--recipe", "Q8_0"]);
  assert.match(twice.stderr, /--recipe is given twice, by its place and as an option; use one\./);
});

test("imatrix and perplexity take the options of llama-imatrix and llama-perplexity", async (t) => {
  const folder = await temporaryFolder(t);
  const size = ["-c", "32", "--chunks", "1"];
  const common = ["-ngl", "0", "-b", "512", "-ub", "512", "-fa", "on", "--no-warmup", "-np", "1"];
  const outputs = [join(folder, "a.dat"), join(folder, "b.dat")] as const;
  const llama = ["-m", model, "-f", text, ...size, ...common, "-t", "1"];
  const statistics = ["--no-ppl", "--output-format", "dat", "-ofreq", "5", "-o", outputs[0]];
  await result(["imatrix", ...llama, ...statistics]);
  await result(["imatrix", model, text, ...size, "-o", outputs[1], "-t", "1"]);
  assert.deepEqual(await readFile(outputs[0]), await readFile(outputs[1]));
  const logits = join(folder, "logits");
  const saved = await result(["perplexity", ...llama, "--save-all-logits", logits]);
  const base = ["--kl-divergence", "--kl-divergence-base", logits];
  const compared = await result(["perplexity", ...llama, ...base]);
  assert.equal(compared.ppl, saved.ppl);
  assert.ok(compared.kld);
});

test("what llama.cpp's tools have and ours do not is answered in one sentence", async () => {
  for (const [command, flag, answer] of [
    ["imatrix", "--show-statistics", /report/],
    ["imatrix", "-ot=exps=CPU", /--override-tensor: where the tensors lie follows from --gpu-layers and/],
    ["perplexity", "--hellaswag", /lopsided check/],
    ["perplexity", "-hf=someone/model", /hf:\/\/owner\/repository/],
    ["quantize", "--prune-layers=1,2", /lopsided prune/],
    ["convert", "--split-max-tensors=3", /use --split-max-size\./],
  ] as const) {
    const places = command === "convert" ? ["folder", "out.gguf"] : ["model.gguf", "other"];
    const refused = await lopsided([command, ...places, flag]);
    assert.equal(refused.status, 2, flag);
    assert.match(refused.stderr, answer);
    assert.equal(refused.stderr.trimEnd().split("\n").length, 1);
  }
});

test("every such answer is a sentence", () => {
  const answers = commands.flatMap(({ command }) =>
    Object.values(command.options)
      .filter(({ isHidden, about }) => isHidden && about === "refused")
      .map(({ schema }) => schema.safeParse(true).error?.issues[0]?.message ?? ""),
  );
  assert.ok(answers.length > 30);
  for (const answer of answers) {
    assert.match(answer, /^[^\n]{15,140}\.$/);
  }
});
