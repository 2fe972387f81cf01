import assert from "node:assert/strict";
import { test } from "node:test";
import { fixture } from "../testing/command.js";
import { loadTasks } from "./load.js";
import { parseTasks } from "./task.js";

test("tasks have an answer, or a function and calls of it", () => {
  const [number, texts, code, known] = parseTasks(
    [
      '{"kind": "a", "prompt": "1 + 1?", "answer": 2}',
      '{"kind": "a", "prompt": "Which?", "answer": ["x", "y"], "system": "Be brief.", "maxTokens": 5}',
      "",
      '{"kind": "code", "prompt": "f", "name": "f", "tests": [{"args": [1], "result": {"a": [null]}}]}',
      '{"kind": "code", "prompt": "gcd", "name": "gcd", "reference": "def gcd"}',
    ].join("\r\n"),
    "t.jsonl",
  );
  assert.deepEqual(number?.criterion, { type: "answer", expected: [2] });
  assert.deepEqual(texts?.criterion, { type: "answer", expected: ["x", "y"] });
  assert.deepEqual([texts?.system, texts?.maxTokens, texts?.line], ["Be brief.", 5, 2]);
  assert.deepEqual(code?.criterion, {
    type: "function",
    name: "f",
    tests: [{ args: [1], result: { a: [null] } }],
  });
  assert.equal(code?.line, 4);
  assert.equal(known?.criterion.type, "function");
});

const wrong: Readonly<Record<string, [line: string, message: RegExp]>> = {
  "is no JSON": ["{", /^t\.jsonl: line 2: /],
  "has no prompt": ['{"kind": "a", "answer": 1}', /^t\.jsonl: line 2: "prompt" is wrong: /],
  "has nothing to check": [
    '{"kind": "a", "prompt": "b"}',
    /^t\.jsonl: line 2: says nothing to check; give it/,
  ],
  "has an unknown field": [
    '{"kind": "a", "prompt": "b", "anwser": 1}',
    /^t\.jsonl: line 2: has a field "anwser" that tasks do not have/,
  ],
  "repeats a field": ['{"kind": "a", "prompt": "b", "answer": 1, "answer": 2}', /^t\.jsonl: line 2: /],
  "has both ways to check": [
    '{"kind": "a", "prompt": "b", "answer": 1, "name": "gcd"}',
    /^t\.jsonl: line 2: has "answer" besides "name" or "tests"/,
  ],
  "names a function without known tests": [
    '{"kind": "a", "prompt": "b", "name": "frobnicate"}',
    /^t\.jsonl: line 2: has no "tests" for the function "frobnicate"/,
  ],
  "has a name that is no function's": [
    '{"kind": "a", "prompt": "b", "name": "a; import os"}',
    /^t\.jsonl: line 2: "name" is wrong: must be the name of a Python function/,
  ],
};

for (const [what, [line, message]] of Object.entries(wrong)) {
  test(`a line that ${what} is an error that names it`, () => {
    assert.throws(() => parseTasks(`{"kind": "a", "prompt": "b", "answer": 1}\n${line}`, "t.jsonl"), {
      name: "MalformedInputError",
      message,
    });
  });
}

test("a file without tasks is an error", () => {
  assert.throws(() => parseTasks("\n\n", "t.jsonl"), /t\.jsonl: has no task/);
});

test("the shipped tasks and those of the tiny model are read", async () => {
  const shipped = await loadTasks();
  assert.equal(shipped.name, "general.jsonl");
  assert.ok(shipped.tasks.length >= 40);
  const tiny = await loadTasks(fixture("text/tasks.jsonl"));
  assert.equal(tiny.tasks.length, 200);
});
