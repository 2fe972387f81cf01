import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { fixture, startLopsided } from "../testing/command.js";

const model = fixture("tiny-moe-q8_0.gguf");

/** A chat whose output is gathered. */
function startChat(...flags: string[]) {
  const child = startLopsided(["chat", model, "-t", "1", "--temp", "0", ...flags]);
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text) => {
      said[stream] += text;
    });
  }
  return { child, said, ended: once(child, "close") };
}

test("messages that are piped in are answered one by one, on stdout alone", async () => {
  const { child, said, ended } = startChat("-n", "12");
  child.stdin.end(
    [
      "A farmer has chickens and rabbits. Together they have 35 heads and 94 legs. \\",
      "How many chickens and how many rabbits are there?",
      "/reset",
      "/help",
      '"""',
      "Merge the overlapping intervals",
      "[[1, 4], [3, 9]].",
      '"""',
    ].join("\n"),
  );
  const [status] = await ended;
  assert.equal(status, 0, said.stderr);
  const [first, second, ...rest] = said.stdout.split("\n");
  assert.match(first ?? "", /^If all 35 were chickens/);
  assert.match(second ?? "", /^Sorted: /);
  assert.deepEqual(rest, [""]);
  assert.match(said.stderr, /\(12 tokens, [\d.]+ tokens\/s, cut off\)/);
  assert.match(said.stderr, /\/reset forgets/);
});

test("an interrupt stops the answer, and another one the chat", async () => {
  const { child, said, ended } = startChat();
  child.stdin.write("Write a Python function that merges overlapping intervals.\n");
  await once(child.stdout, "data");
  child.kill("SIGINT");
  while (!/\(stopped\)|tokens\/s/.test(said.stderr)) {
    await once(child.stderr, "data");
  }
  assert.equal(child.exitCode, null);
  child.kill("SIGINT");
  const [status] = await ended;
  assert.equal(status, 0, said.stderr);
});

test("a conversation that does not fit is said to be too long, and the chat goes on", async () => {
  const { child, said, ended } = startChat("-c", "256", "-n", "4");
  child.stdin.end(`${"word ".repeat(300)}\nWhat is 3 + 4?\n`);
  const [status] = await ended;
  assert.equal(status, 0);
  assert.match(said.stderr, /the prompt has \d+ tokens, but the context has 256/);
  assert.match(said.stderr, /\(\d tokens/);
});

test("a model must be named once", async () => {
  for (const [args, message] of [
    [["chat"], /chat needs --model: GGUF file/],
    [["chat", model, "-m", model], /--model is given twice, by its place and as an option; use one\./],
  ] as const) {
    const child = startLopsided(args);
    let error = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      error += text;
    });
    const [status] = await once(child, "close");
    assert.equal(status, 2);
    assert.match(error, message);
  }
});
