import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CheckResult } from "../tasks/check.js";
import { fixture, lopsided } from "../testing/command.js";

const model = fixture("tiny-moe-q8_0.gguf");
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lopsided-"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** The first tasks of the tiny model's, of each kind, in a file. */
async function someTasks(perKind: number): Promise<string> {
  const lines = (await readFile(fixture("text/tasks.jsonl"), "utf8")).trim().split("\n");
  const counts = new Map<string, number>();
  const chosen = lines.filter((line) => {
    const { kind } = JSON.parse(line) as { kind: string };
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return (counts.get(kind) ?? 0) <= perKind;
  });
  const path = join(folder, `tasks-${perKind}.jsonl`);
  await writeFile(path, `${chosen.join("\n")}\n`);
  return path;
}

test("check gives a model tasks, runs its code, and keeps the answers", async () => {
  const output = join(folder, "checked.json");
  const tasks = await someTasks(2);
  const args = [
    "check",
    model,
    "--tasks",
    tasks,
    "--max-tokens",
    "200",
    "--threads",
    "1",
    "-o",
    output,
    "--json",
  ];
  const { status, stdout, stderr } = await lopsided(args);
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  const result = JSON.parse(stdout) as CheckResult;
  assert.deepEqual(JSON.parse(await readFile(output, "utf8")), result);
  assert.equal(result.passed + result.failed, 10);
  assert.deepEqual(
    result.rates.map(({ kind, total }) => [kind, total]),
    ["code", "puzzle", "arithmetic", "list", "intervals"].map((kind) => [kind, 2]),
  );
  // The model writes merge_intervals correctly; it was run.
  const [mergeIntervals] = result.tasks;
  assert.match(mergeIntervals?.answer ?? "", /def merge_intervals/);
  assert.equal(mergeIntervals?.passed, true);
  assert.equal(result.tasks.filter(({ passed }) => passed).length, result.passed);
  for (const { passed, reason } of result.tasks) {
    assert.equal(reason === undefined, passed);
  }
});

test("answers written one at a time are the same every time", async () => {
  const tasks = await someTasks(1);
  const answers = async () => {
    const args = ["check", model, "--tasks", tasks, "--max-tokens", "60", "--threads", "1", "--json"];
    const { stdout } = await lopsided([...args, "--parallel", "1"]);
    return (JSON.parse(stdout) as CheckResult).tasks.map(({ line, answer, passed }) => ({
      line,
      answer,
      passed,
    }));
  };
  assert.deepEqual(await answers(), await answers());
});

test("a table of passes by kind is printed", async () => {
  const { status, stdout } = await lopsided([
    ...["check", model, "--tasks", await someTasks(1), "--max-tokens", "20", "--threads", "1"],
  ]);
  assert.equal(status, 0);
  assert.match(stdout, /^\d of 5 tasks passed \(tasks-1\.jsonl, /);
  assert.match(stdout, /kind +passed +tasks +rate +95 % interval/);
  assert.match(stdout, /\nall +\d +5 +\d+\.0 % /);
});

test("wrong tasks and missing files are errors before the model is loaded", async () => {
  const wrong = join(folder, "wrong.jsonl");
  await writeFile(wrong, '{"prompt": "x", "kind": "y"}\n');
  const malformed = await lopsided(["check", model, "--tasks", wrong]);
  assert.equal(malformed.status, 1);
  assert.match(malformed.stderr, /wrong\.jsonl: line 1: says nothing to check/);
  const missing = await lopsided(["check", join(folder, "no.gguf"), "--tasks", await someTasks(1)]);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /no\.gguf/);
  const unwritable = await lopsided(["check", model, "-o", join(folder, "no", "result.json")]);
  assert.equal(unwritable.status, 2);
});
