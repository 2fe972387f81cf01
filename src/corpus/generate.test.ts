import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { CancelledError } from "../errors.js";
import { perplexity } from "../evaluate/measure.js";
import { fixture, lopsided } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { type GenerateResult, generate } from "./generate.js";
import { readPrompts } from "./prompts.js";

const model = fixture("tiny-moe-q8_0.gguf");

/** A folder with prompts of the tiny model's tasks. */
async function somePrompts(t: TestContext, count: number): Promise<{ folder: string; prompts: string }> {
  const folder = await temporaryFolder(t);
  const prompts = join(folder, "prompts.jsonl");
  const lines = (await readFile(fixture("text/tasks.jsonl"), "utf8")).split("\n").slice(0, count);
  await writeFile(prompts, lines.join("\n"));
  return { folder, prompts };
}

test("answers follow their prompts, in order, and what is written can be evaluated on", async (t) => {
  const { folder, prompts } = await somePrompts(t, 3);
  const output = join(folder, "corpus.jsonl");
  const result = await generate({
    ...{ model, prompts, output, samples: 2, nPredict: 40, parallel: 2, threads: 1 },
  });
  const lines = (await readFile(output, "utf8")).trimEnd().split("\n");
  assert.equal(lines.length, result.answers);
  assert.equal(result.answers + result.empty, 6);
  assert.ok(result.tokens > 0 && result.tokens <= 6 * 40, `${result.tokens}`);
  const asked = (await readPrompts(prompts)).map(({ messages }) => messages[0]?.content);
  const written = lines.map((line) => JSON.parse(line).messages);
  assert.deepEqual(
    written.map(([user]) => user.content),
    asked.flatMap((content) => [content, content]),
  );
  assert.ok(written.every(([, { role, content }]) => role === "assistant" && content !== ""));
  // Two samples of one prompt have seeds of their own.
  assert.ok(written.some(([, answer], at) => at % 2 === 1 && answer.content !== written[at - 1][1].content));
  const measured = await perplexity({ model, text: output, ctx: 64, chunks: 1, threads: 1 });
  assert.ok(measured.ppl > 1, `${measured.ppl}`);
});

test("killed again and again, generate goes on to the bytes of a run that was left alone", async (t) => {
  const { folder, prompts } = await somePrompts(t, 24);
  const output = join(folder, "corpus.jsonl");
  const journal = join(folder, ".corpus.jsonl.journal");
  const args = ["generate", model, prompts, "-o", output, "-n", "60", "-np", "1", "--threads", "1", "--json"];
  const whole = await lopsided(args);
  assert.equal(whole.status, 0, whole.stderr);
  const expected = await readFile(output);
  const groups = () => (existsSync(journal) ? readFileSync(journal, "utf8").split("\n").length - 2 : 0);
  for (const wanted of [1, 3]) {
    const { status } = await lopsided(args, { signal: "SIGKILL", when: () => groups() >= wanted });
    assert.equal(status, null);
  }
  // The last line is torn, as a loss of power leaves it.
  const torn = readFileSync(journal);
  await writeFile(journal, torn.subarray(0, -7));
  const resumed = await lopsided(args);
  assert.equal(resumed.status, 0, resumed.stderr);
  assert.ok((JSON.parse(resumed.stdout) as GenerateResult).resumedFrom! >= 8);
  assert.deepEqual(await readFile(output), expected);
  assert.deepEqual((await readdir(folder)).sort(), ["corpus.jsonl", "prompts.jsonl"]);
});

test("a stopped run keeps whole groups; other options do not go on with them unless told to begin anew", async (t) => {
  const { folder, prompts } = await somePrompts(t, 12);
  const output = join(folder, "corpus.jsonl");
  const options = { model, prompts, output, nPredict: 20, parallel: 1, threads: 1 };
  const abort = new AbortController();
  const stopped = generate({
    ...options,
    signal: abort.signal,
    onProgress: ({ step, done }) => {
      if (step === "generate" && done === 6) {
        abort.abort();
      }
    },
  });
  await assert.rejects(stopped, CancelledError);
  assert.deepEqual((await readdir(folder)).sort(), [".corpus.jsonl.journal", "prompts.jsonl"]);
  await assert.rejects(generate({ ...options, seed: 2 }), /unfinished answers of another model/);
  assert.equal((await generate(options)).resumedFrom, 4);
  assert.equal((await generate({ ...options, seed: 2, restart: true })).resumedFrom, undefined);
});

test("prompts are lines of text or JSON; a final answer is left out; what is neither is named by its line", async (t) => {
  const folder = await temporaryFolder(t);
  const plain = join(folder, "prompts.txt");
  await writeFile(plain, "One?\n\nTwo?\n");
  assert.deepEqual(await readPrompts(plain), [
    { line: 1, messages: [{ role: "user", content: "One?" }] },
    { line: 3, messages: [{ role: "user", content: "Two?" }] },
  ]);
  const json = join(folder, "prompts.jsonl");
  const messages = [
    { role: "user", content: "One?" },
    { role: "assistant", content: "One." },
  ];
  await writeFile(json, `${JSON.stringify({ messages })}\n{"prompt": "Two?", "system": "Count."}\n`);
  assert.deepEqual(await readPrompts(json), [
    { line: 1, messages: messages.slice(0, 1) },
    {
      line: 2,
      messages: [
        { role: "system", content: "Count." },
        { role: "user", content: "Two?" },
      ],
    },
  ]);
  for (const line of ["{}", '{"prompt": 1}', '{"messages": [{"role": "assistant"}]}', "One?"]) {
    await writeFile(json, `{"prompt": "a"}\n${line}\n`);
    await assert.rejects(
      readPrompts(json),
      { name: "MalformedInputError", message: /prompts\.jsonl:2/ },
      line,
    );
  }
});

test("options that make no sense are refused before the model is loaded", async (t) => {
  const { folder, prompts } = await somePrompts(t, 1);
  const output = join(folder, "corpus.jsonl");
  await assert.rejects(generate({ model, prompts, output, samples: 2, temp: 0 }), /all the same/);
  await assert.rejects(generate({ model, prompts, output: join(folder, "corpus.txt") }), /ends in \.jsonl/);
  await assert.rejects(
    generate({ model, prompts, output, ctx: 16, threads: 1 }),
    /prompts\.jsonl:1: the prompt has/,
  );
});
