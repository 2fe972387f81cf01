import assert from "node:assert/strict";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fixture, lopsided, startLopsided } from "../testing/command.js";
import { goOn } from "../testing/serve.js";

const model = fixture("tiny-moe-q8_0.gguf");

/** Starts a server; its one JSON object, and what it writes after that. */
async function startServer(...flags: string[]) {
  const child = startLopsided(["serve", "-m", model, "--port", "0", "-t", "1", "--json", ...flags]);
  child.stderr.resume();
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, "line");
  const more: string[] = [];
  lines.on("line", (text) => more.push(text));
  return { child, more, ended: once(child, "close"), announced: JSON.parse(line) };
}

test("the address is printed as one object, with llama-server's options, and a signal ends it", async () => {
  const { child, more, ended, announced } = await startServer("-c", "1024", "-np", "2", "--api-key", "k");
  assert.match(announced.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.deepEqual([announced.slots, announced.contextLength, announced.processId], [2, 512, child.pid]);
  assert.equal((await fetch(`${announced.url}/v1/models`)).status, 401);
  const authorized = await fetch(`${announced.url}/v1/models`, { headers: { authorization: "Bearer k" } });
  assert.equal(authorized.status, 200);
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual(more, []);
});

test("one interrupt lets the running answer finish, a second does not", async () => {
  for (const interrupts of [1, 2]) {
    const { child, ended, announced } = await startServer("-c", "2048", "-np", "1");
    const response = await fetch(`${announced.url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ prompt: "def", max_tokens: 1500, stream: true, logit_bias: goOn }),
    });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader?.read())?.value ?? "";
    child.kill("SIGINT");
    if (interrupts === 2) {
      await once(child.stderr, "data");
      child.kill("SIGINT");
    }
    try {
      for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
        text += next.value;
      }
    } catch (error) {
      assert.ok(error instanceof TypeError); // the connection was cut
    }
    const [status] = await ended;
    assert.equal(status, interrupts === 1 ? 0 : 130);
    assert.equal(text.endsWith("data: [DONE]\n\n"), interrupts === 1);
  }
});

test("what cannot be served is an error before anything listens", async () => {
  const missing = await lopsided(["serve", "/nowhere/model.gguf", "--json"]);
  assert.equal(missing.status, 1);
  assert.match(JSON.parse(missing.stdout).error.message, /model\.gguf/);
  const tooLong = await lopsided(["serve", model, "-c", "100000", "-np", "1"]);
  assert.equal(tooLong.status, 2);
  assert.match(tooLong.stderr, /longer than the 4096 that the model was trained with/);
});

test("a server that others can reach needs a key, or --no-api-key", async () => {
  for (const flags of [
    ["--host", "0.0.0.0"],
    ["--api-key", ""],
  ]) {
    const refused = await lopsided(["serve", model, "--port", "0", ...flags]);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /--api-key \(or LLAMA_API_KEY\)/);
  }
  const { child, ended, announced } = await startServer("--host", "0.0.0.0", "--no-api-key");
  const here = `http://127.0.0.1:${announced.port}/health`;
  assert.equal((await fetch(here)).status, 200);
  child.kill("SIGTERM");
  await ended;
});

test("llama-server's flags are taken, or refused in one sentence", async () => {
  const pasted = ["--jinja", "-fa", "on", "--no-mmap", "--temp", "0", "--top-k", "20", "--metrics"];
  const { child, ended, announced } = await startServer("-c", "512", "-np", "1", ...pasted);
  const ask = async () => {
    const body = JSON.stringify({ prompt: "def merge_intervals(", max_tokens: 12 });
    const response = await fetch(`${announced.url}/v1/completions`, { method: "POST", body });
    return ((await response.json()) as { choices: { text: string }[] }).choices[0]?.text;
  };
  assert.equal(await ask(), await ask()); // the temperature is 0
  child.kill("SIGTERM");
  await ended;
  const refused = await lopsided(["serve", "-hf", "someone/model"]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /--hf-repo: serve downloads nothing; download the GGUF file and name it\./);
});
