import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { computeLogits, tokenizeText } from "../engine/jobs.js";
import { CancelledError, UsageError } from "../errors.js";
import { fixture } from "../testing/command.js";
import { Generator } from "./generator.js";
import { highestToken } from "./ranking.js";
import { greedy } from "./request.js";

const model = { path: fixture("tiny-moe-q8_0.gguf") };
const generator = new Generator({ model, slots: 4, threads: 1, contextLength: 512, pooling: "mean" });
after(() => generator.close());

const question = (text: string) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;

/** A task whose answer the tiny model begins with the number of heads. */
const puzzle = (heads: number) =>
  question(
    `A farmer has chickens and rabbits. Together they have ${heads} heads and ${heads * 3 - 1} legs. How many chickens and how many rabbits are there?`,
  );
const puzzleAnswer = (heads: number) => `If all ${heads} were`;

/** Greedy decoding of the plainest kind: the whole sequence again for every token. */
async function decodeGreedily(prompt: string, count: number): Promise<number[]> {
  await using engine = new Engine();
  const tokens = await engine.run(tokenizeText, { model, text: prompt, options: { parseSpecial: true } });
  const answer: number[] = [];
  while (answer.length < count) {
    const logits = await engine.run(computeLogits, { model, tokens: [...tokens, ...answer], threads: 1 });
    answer.push(highestToken(logits));
  }
  return answer;
}

test("a greedy answer is the same as one decoded token by token", async () => {
  const prompt = question("What is 12 + 30?");
  const { tokens } = await generator.generate({ prompt, maxTokens: 6, sampling: greedy });
  assert.deepEqual(tokens, await decodeGreedily(prompt, 6));
});

test("answers that are written together belong to their questions", async () => {
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, index) =>
      generator.generate({ prompt: puzzle(20 + index), maxTokens: 12, sampling: greedy }),
    ),
  );
  for (const [index, { text }] of answers.entries()) {
    assert.ok(text.startsWith(puzzleAnswer(20 + index)), text);
  }
});

test("a prompt's beginning is computed once", async () => {
  const prompt = question("Reverse the list [11, 12, 13, 14, 15].");
  const first = await generator.generate({ prompt, maxTokens: 4, sampling: greedy });
  const again = await generator.generate({ prompt, maxTokens: 4, sampling: greedy });
  assert.equal(again.cachedTokens, first.promptTokens - 1);
  assert.equal(again.text, first.text);
});

test("an answer arrives in pieces, and leaving the loop stops it", async () => {
  const pieces: string[] = [];
  for await (const { text } of generator.stream({ prompt: question("What is 2 + 3?"), sampling: greedy })) {
    pieces.push(text);
    if (pieces.length === 3) {
      break;
    }
  }
  assert.equal(pieces.length, 3);
});

test("an answer can be stopped, and others go on", async () => {
  const stop = new AbortController();
  const endless = generator.generate(
    { prompt: "def", ignoreEnd: true, sampling: greedy },
    { signal: stop.signal, onPiece: () => stop.abort() },
  );
  const other = generator.generate({ prompt: puzzle(41), maxTokens: 8, sampling: greedy });
  await assert.rejects(endless, CancelledError);
  assert.ok((await other).text.startsWith(puzzleAnswer(41)));
});

test("answers of a client who holds all slots are set aside for another's, and go on where they were", async () => {
  const greedyClient = { client: "greedy", sampling: greedy, ignoreEnd: true };
  const line = (index: number) => `line ${index} of a text that a grammar prescribes. `;
  let begin = () => {};
  const hasBegun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let ended = 0;
  const long = Array.from({ length: 4 }, async (_, index) => {
    const grammar = index < 3 ? { gbnf: `root ::= "${line(index)}"{100}` } : undefined;
    const request = { ...greedyClient, prompt: puzzle(30 + index), grammar };
    const { text } = await generator.generate(request, { onPiece: begin });
    ended++;
    return text;
  });
  await hasBegun;
  const short = { client: "other", maxTokens: 8, sampling: greedy };
  const others = [40, 41, 42].map((heads) => generator.generate({ ...short, prompt: puzzle(heads) }));
  for (const [index, { text }] of (await Promise.all(others)).entries()) {
    assert.ok(text.startsWith(puzzleAnswer(40 + index)), text);
  }
  assert.equal(ended, 0);
  const texts = await Promise.all(long);
  for (const index of [0, 1, 2]) {
    assert.ok(
      line(index)
        .repeat(100)
        .startsWith(texts[index] ?? "-"),
      texts[index],
    );
  }
  assert.ok(texts[3]?.startsWith(puzzleAnswer(33)), texts[3]);
});

test("an answer ends where the context is full", async () => {
  const { tokens, promptTokens, finishReason } = await generator.generate({
    prompt: "def",
    ignoreEnd: true,
    sampling: greedy,
  });
  assert.equal(finishReason, "length");
  assert.equal(promptTokens + tokens.length, 512);
});

test("prompts that cannot be answered fail alone", async () => {
  await assert.rejects(generator.generate({ prompt: "" }), (error) => {
    assert.ok(error instanceof UsageError);
    assert.equal(error.message, "the prompt is empty; give it at least one token.");
    return true;
  });
  await assert.rejects(generator.generate({ prompt: [5, 2048] }), /2048 is not a token/);
  await assert.rejects(generator.generate({ prompt: "word ".repeat(1000) }), (error) => {
    assert.ok(error instanceof UsageError);
    assert.equal(error.details.reason, "context-length");
    return true;
  });
});

test("embeddings have length 1, and like texts have like ones", async () => {
  const texts = ["What is 12 + 5?", "What is 13 + 5?", "def main():\n    return None"];
  const [sum, other, code] = await Promise.all(texts.map((text) => generator.embed(text)));
  assert.ok(sum && other && code);
  const product = (a: Float32Array, b: Float32Array) =>
    a.reduce((total, value, index) => total + value * (b[index] ?? 0), 0);
  assert.ok(Math.abs(product(sum.vector, sum.vector) - 1) < 1e-5);
  assert.ok(product(sum.vector, other.vector) > product(sum.vector, code.vector));
});

test("when the model's process dies, answers being written fail and waiting ones are written", async () => {
  const crashes: Error[] = [];
  await using fragile = new Generator({
    model,
    slots: 1,
    threads: 1,
    contextLength: 512,
    onCrash: (error) => crashes.push(error),
  });
  const running = fragile.generate(
    { prompt: "def", ignoreEnd: true, sampling: greedy },
    { onPiece: () => process.kill(fragile.processId ?? 0, "SIGKILL") },
  );
  const waiting = fragile.generate({ prompt: puzzle(37), maxTokens: 8, sampling: greedy });
  await assert.rejects(running, /process was killed while decoding/);
  assert.ok((await waiting).text.startsWith(puzzleAnswer(37)));
  assert.equal(crashes.length, 1);
});

test("a model that cannot be loaded fails every request with the reason", async () => {
  await using broken = new Generator({ model: { path: "/nowhere/model.gguf" } });
  await assert.rejects(broken.generate({ prompt: "x" }), /no such file/);
  await assert.rejects(broken.ready(), /no such file/);
});

test("a generator closed while its model loads leaves a shared engine in order", async () => {
  await using engine = new Engine();
  const early = new Generator({ model, engine, threads: 1 });
  const ready = early.ready();
  const answer = early.generate({ prompt: "1, 2, 3,", maxTokens: 2 });
  await Promise.all([
    assert.rejects(ready, CancelledError),
    assert.rejects(answer, CancelledError),
    early.close(),
  ]);
  const tokens = await engine.run(tokenizeText, { model, text: "1", options: {} });
  assert.equal(tokens.length, 1);
});
