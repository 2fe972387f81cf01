import assert from "node:assert/strict";
import { after, test } from "node:test";
import { UsageError } from "../../errors.js";
import { fixture } from "../../testing/command.js";
import { Generator } from "../generator.js";
import { greedy } from "../request.js";

const model = { path: fixture("tiny-moe-q8_0.gguf") };
const generator = new Generator({ model, slots: 2, threads: 1, contextLength: 512 });
after(() => generator.close());

const prompt = "<|im_start|>user\nWhat is 12 + 30?<|im_end|>\n<|im_start|>assistant\n";

test("an answer follows its grammar and ends with it, greedy or drawn", async () => {
  const grammar = { gbnf: 'root ::= ("yes" | "no") ", " [0-9]{3} "é漢😀"' };
  for (const sampling of [greedy, { temperature: 2, topK: 0, topP: 1, minP: 0, seed: 5 }]) {
    const { text, finishReason } = await generator.generate({ prompt, grammar, sampling });
    assert.match(text, /^(yes|no), \d{3}é漢😀$/u);
    assert.equal(finishReason, "stop");
  }
});

test("what fits the grammar anyway is what is written without one", async () => {
  const free = await generator.generate({ prompt, sampling: greedy, maxTokens: 12 });
  const bound = await generator.generate({
    prompt,
    sampling: greedy,
    maxTokens: 12,
    grammar: { gbnf: "root ::= [^\\x01]*" },
  });
  assert.deepEqual(bound.tokens, free.tokens);
});

test("answers with and without grammars are written beside each other", async () => {
  const grammars = ["a", "b", "c", undefined, "d", undefined].map((letter) =>
    letter === undefined ? undefined : { gbnf: `root ::= "${letter}"{5}` },
  );
  const answers = await Promise.all(
    grammars.map((grammar) => generator.generate({ prompt, grammar, sampling: greedy, maxTokens: 20 })),
  );
  assert.deepEqual(
    answers.map(({ text }) => (/^(.)\1{4}$/.test(text) ? text : "free")),
    ["aaaaa", "bbbbb", "ccccc", "free", "ddddd", "free"],
  );
});

test("a grammar with triggers holds from the first of them on", async () => {
  const free = await generator.generate({ prompt, sampling: greedy, maxTokens: 40 });
  // A trigger within the answer, which may begin and end in the middle of tokens.
  for (const [begin, length] of [
    [3, 2],
    [5, 5],
    [8, 1],
  ] as const) {
    const trigger = free.text.slice(begin, begin + length);
    const at = free.text.indexOf(trigger);
    const gbnf = `root ::= ${JSON.stringify(trigger)} "<" [0-9]+ ">"`;
    const { text } = await generator.generate({
      prompt,
      sampling: greedy,
      maxTokens: 60,
      grammar: { gbnf, triggers: ["no such text", trigger] },
    });
    const found = text.indexOf(trigger);
    assert.ok(found >= 0 && found <= text.length, `${trigger} in ${text}, first at ${at}`);
    assert.match(text.slice(found + trigger.length), /^<\d+(>|$)/);
  }
});

test("without its trigger an answer is free", async () => {
  const request = { prompt, sampling: greedy, maxTokens: 20 };
  const free = await generator.generate(request);
  const grammar = { gbnf: 'root ::= "§" "never"', triggers: ["§"] };
  assert.equal((await generator.generate({ ...request, grammar })).text, free.text);
});

test("a grammar that cannot be used fails its request alone", async () => {
  const bad = {
    'root ::= "a': /expected a character/,
    'root ::= root "a"': /left recursion/,
    'root ::= "a"{3,1}': /ends before it begins/,
  };
  for (const [gbnf, message] of Object.entries(bad)) {
    await assert.rejects(generator.generate({ prompt, grammar: { gbnf } }), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, message);
      return true;
    });
  }
  const triggers = [""];
  await assert.rejects(
    generator.generate({ prompt, grammar: { gbnf: 'root ::= "a"', triggers } }),
    /1 to 256 bytes/,
  );
  assert.ok((await generator.generate({ prompt, maxTokens: 3 })).text.length > 0);
});

test("a grammar whose readings multiply ends in an error, not in a standstill", async () => {
  const gbnf = 'root ::= s "z"\ns ::= ("a" s "b" | "a" s "c" | "a" s "d" | "a" s "e")?';
  const answer = generator.generate({
    prompt,
    grammar: { gbnf },
    sampling: { ...greedy, logitBias: [[64, 0]] },
    maxTokens: 200,
  });
  await answer.then(
    ({ text }) => assert.match(text, /^a*[b-e]*z?$/),
    (error: Error) => assert.match(error.message, /too ambiguous/),
  );
});

test("a grammar with thousands of readings of one token fails alone, and the others go on", async () => {
  const reading = (count: number) => Array.from({ length: count }, () => "[a-z ]").join(" | ");
  for (const gbnf of [`root ::= (${reading(64)})* "0"`, `root ::= ("a"? ${'"a"? '.repeat(60)})+ "0"`]) {
    // The first token must be masked: "<" does not fit.
    const sampling = { ...greedy, logitBias: [[27, 100]] as const };
    const hostile = generator.generate({ prompt, grammar: { gbnf }, sampling, maxTokens: 400 });
    const other = generator.generate({ prompt, grammar: { gbnf: 'root ::= "ok"' }, sampling: greedy });
    await assert.rejects(hostile, (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /too ambiguous/);
      assert.equal(error.details.reason, "grammar-too-slow");
      return true;
    });
    assert.equal((await other).text, "ok");
  }
});

test("a stopped answer with a grammar leaves the others in order", async () => {
  const stop = new AbortController();
  const endless = generator.generate(
    { prompt, grammar: { gbnf: "root ::= [a-z]+" }, ignoreEnd: true, sampling: greedy },
    { signal: stop.signal, onPiece: () => stop.abort() },
  );
  await assert.rejects(endless, /was stopped/);
  const { text } = await generator.generate({ prompt, grammar: { gbnf: 'root ::= "ok"' } });
  assert.equal(text, "ok");
});
