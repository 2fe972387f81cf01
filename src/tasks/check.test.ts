import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CancelledError } from "../errors.js";
import { relayout } from "../quantize/relayout.js";
import { fixture } from "../testing/command.js";
import { check } from "./check.js";

const source = fixture("tiny-moe-q8_0.gguf");

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lopsided-"));
});
after(() => rm(folder, { recursive: true, force: true }));

for (const step of ["load", "check"]) {
  test(`a check that is stopped at the step "${step}" ends and leaves no file`, async () => {
    const abort = new AbortController();
    const checking = check({
      model: fixture("tiny-moe-q8_0.gguf"),
      tasks: fixture("text/tasks.jsonl"),
      output: join(folder, "result.json"),
      threads: 1,
      signal: abort.signal,
      onProgress: (progress) => {
        if (progress.step === step) {
          abort.abort();
        }
      },
    });
    await assert.rejects(checking, CancelledError);
    assert.deepEqual(await readdir(folder), []);
  });
}

test("a model whose answers are cut short by its template is found by their length beside the source's", async () => {
  // The template begins each answer with its end.
  const cut = join(folder, "cut.gguf");
  const short =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\nThe answer is ";
  await relayout({ model: source, output: cut, overrideKv: [`tokenizer.chat_template=str:${short}`] });
  const tasks = join(folder, "tasks.jsonl");
  const lines = (await readFile(fixture("text/tasks.jsonl"), "utf8")).split("\n").slice(0, 10);
  await writeFile(tasks, lines.join("\n"));
  const options = { tasks, samples: 2, maxTokens: 120, threads: 1 };
  const result = await check({ model: cut, reference: source, ...options });
  assert.equal(result.tasks.length, 3 * 10);
  assert.deepEqual([...new Set(result.tasks.map(({ seed }) => seed))], [undefined, 1, 2]);
  assert.equal(result.passed + result.failed, 10);
  assert.ok(result.length!.high < 1, `${result.length!.ratio}`);
  assert.ok(result.habits.tokens < result.reference!.habits.tokens);
  const same = await check({ model: source, reference: source, ...options, samples: 0, parallel: 1 });
  assert.deepEqual([same.length!.ratio, same.length!.low, same.length!.high], [1, 1, 1]);
  assert.deepEqual(same.reference!.habits, same.habits);
});
