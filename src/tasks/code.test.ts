import assert from "node:assert/strict";
import { after, test } from "node:test";
import { AnswerFamily } from "../generate/tool-calls/families.js";
import { PythonSandbox } from "../sandbox/python.js";
import { fixture } from "../testing/command.js";
import { extractCode } from "./code.js";
import { gradeAnswer } from "./grade.js";
import type { Grade } from "./grade-result.js";
import { loadTasks } from "./load.js";
import { isSame } from "./same-value.js";
import { parseTasks, type Task } from "./task.js";

const sandbox = new PythonSandbox();
const family = new AnswerFamily("<tool_call>");
after(() => sandbox.close());

function grade(task: Task, answer: string, prompt = ""): ReturnType<typeof gradeAnswer> {
  return gradeAnswer({ task, answer, prompt, sandbox, family });
}

const add =
  '{"kind": "code", "prompt": "Write add(a, b).", "name": "add", "tests": [{"args": [1, 2], "result": 3}, {"args": [-1, 1], "result": 0}]}';

async function gradeAdd(code: string, task = add): Promise<Grade> {
  const [parsed] = parseTasks(task, "t.jsonl");
  return await grade(parsed!, `Here it is:\n\`\`\`python\n${code}\n\`\`\`\nDone.`);
}

test("the program is the last block that defines the function", () => {
  const answer = "```python\ndef f():\n    return 1\n```\nand\n```python\nprint(f())\n```";
  assert.equal(extractCode(answer, "f"), "def f():\n    return 1\n");
  assert.equal(extractCode(answer, "g"), "print(f())\n");
  assert.equal(extractCode("def f(): return 1", "f"), "def f(): return 1");
  assert.equal(extractCode("~~~\ndef f():\n    return 1", "f"), "def f():\n    return 1");
  assert.equal(extractCode("<think>```\ndef f(): 0\n```</think>```\ndef f(): 1\n```", "f"), "def f(): 1\n");
  assert.equal(extractCode("I cannot do that.", "f"), undefined);
});

test("results are compared as JSON values, with some room for rounding", () => {
  assert.ok(isSame([1, { a: [null, "x"] }], [1, { a: [null, "x"] }]));
  assert.ok(isSame(0.1 + 0.2, 0.3));
  assert.ok(!isSame(1, 2));
  assert.ok(!isSame(1, true));
  assert.ok(!isSame([1], [1, 2]));
  assert.ok(!isSame({ a: 1 }, { b: 1 }));
  assert.ok(!isSame([], {}));
});

test("a right function passes; a wrong one fails with the call that shows it", async () => {
  assert.deepEqual(await gradeAdd("def add(a, b):\n    return a + b"), { passed: true });
  assert.deepEqual(await gradeAdd("def add(a, b):\n    return a * b"), {
    passed: false,
    reason: "add(1, 2) returned 2 instead of 3",
  });
  assert.match((await gradeAdd("def add(a, b): return c")).reason ?? "", /^add\(1, 2\) raised NameError/);
  assert.match((await gradeAdd("def plus(a, b): return a + b")).reason ?? "", /there is no function add/);
});

test("a function may have another name if the prompt does not name it", async () => {
  const task = add.replace("add(a, b)", "a Python function that adds");
  const grade = await gradeAdd("from bisect import insort\ndef plus(a, b):\n    return a + b", task);
  assert.deepEqual(grade, { passed: true });
});

const cheats = {
  "claims to equal everything": `
class Liar(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
def add(a, b): return Liar(7)`,
  "replaces the encoder of results": `
import json
json.dumps = lambda *args, **options: '{"value": true}'
def add(a, b): return 7`,
  "replaces what the harness uses": `
import builtins, os
def add(a, b): return 7
os.write = builtins.open = lambda *args: 0`,
  "writes a report of its own and leaves": `
import os
def add(a, b):
    os.write(2, b'{"value": true}\\n{"value": true}\\n{"passed": true}\\n')
    os._exit(0)`,
  "returns itself within itself": `
def add(a, b):
    result = []
    result.append(result)
    return result`,
  "writes a result that nests deeper than a stack": `
import os
def add(a, b):
    os.write(2, b'{"value": ' + b'[' * 100000 + b']' * 100000 + b'}\\n')
    return a + b`,
  "looks for the results in the harness's frames and memory": `
import sys, gc
def add(a, b):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if isinstance(value, dict) and "result" in value: return value["result"]
            if isinstance(value, str) and "result\\": 3" in value: return 3 if a == 1 else 0
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and thing.get("result") in (3, 0) and "args" in thing: return thing["result"]
    return 7`,
};

for (const [what, code] of Object.entries(cheats)) {
  test(`a program that ${what} does not pass`, async () => {
    const grade = await gradeAdd(code);
    assert.equal(grade.passed, false, JSON.stringify(grade));
  });
}

test("the references of all tasks with code pass, in the shipped set and in that of the tiny model", async () => {
  const sets = [await loadTasks(), await loadTasks(fixture("text/tasks.jsonl"))];
  const tasks = new Map<string, Task>();
  for (const task of sets.flatMap((set) => set.tasks)) {
    if (task.criterion.type === "function") {
      tasks.set(`${task.criterion.name} ${task.criterion.tests.length}`, task);
    }
  }
  assert.ok(tasks.size >= 20);
  for (const task of tasks.values()) {
    const graded = await grade(task, task.reference ?? "");
    assert.deepEqual(graded, { passed: true }, task.prompt);
  }
});

test("the references of tasks with answers pass, and those of others do not", async () => {
  const { tasks } = await loadTasks(fixture("text/tasks.jsonl"));
  const spoken = tasks.filter(({ criterion }) => criterion.type === "answer");
  for (const [index, task] of spoken.entries()) {
    assert.deepEqual(await grade(task, task.reference ?? ""), { passed: true }, task.prompt);
    const next = spoken[(index + 1) % spoken.length]!;
    const isOther = JSON.stringify(next.criterion) !== JSON.stringify(task.criterion);
    if (isOther) {
      assert.equal((await grade(task, next.reference ?? "")).passed, false, task.prompt);
    }
  }
});

test("lines of HumanEval, MBPP and GSM8K are tasks: their right answers pass, wrong ones do not", async () => {
  const lines = [
    {
      task_id: "HumanEval/0",
      prompt: 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """ Sum. """\n',
      entry_point: "total",
      canonical_solution: "    return sum(xs)\n",
      test: "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n",
    },
    {
      task_id: 2,
      text: "Write a function to square a number.",
      code: "def square(n):\r\n    return n * n",
      test_list: ["assert square(3) == 9", "assert square(-2) == 4"],
      test_setup_code: "",
      challenge_test_list: [],
    },
    {
      question: "Ann has 1,000 apples and buys 72. How many?",
      answer: "1000 + 72 = <<1000+72=1072>>1072\n#### 1,072",
    },
  ];
  const tasks = parseTasks(lines.map((line) => JSON.stringify(line)).join("\n"), "t.jsonl");
  const fenced = (code: string) => `\`\`\`python\n${code}\n\`\`\``;
  const right = [
    fenced("def total(xs: List[int]) -> int:\n    return sum(xs)"),
    fenced("def square(n):\n    return n * n"),
    "1000 + 72 = 1072\nAnswer: 1,072",
  ];
  const wrong = [
    fenced("def total(xs):\n    return 3"),
    fenced("def square(n):\n    return n + n"),
    "Answer: 72",
  ];
  for (const [at, task] of tasks.entries()) {
    assert.deepEqual(await grade(task, right[at]!), { passed: true });
    assert.equal((await grade(task, wrong[at]!)).passed, false);
  }
  // The body alone goes on where the prompt ends.
  assert.deepEqual(await grade(tasks[0]!, fenced("    return sum(xs)")), { passed: true });
  assert.match((await grade(tasks[0]!, wrong[0]!)).reason!, /AssertionError/);
});

test("a call of a tool must be written, name a tool, and have arguments by its schema", async () => {
  const tools = [
    {
      type: "function",
      function: {
        name: "weather",
        parameters: {
          type: "object",
          properties: { city: { type: "string" }, unit: { enum: ["C", "F"] } },
          required: ["city"],
        },
      },
    },
  ];
  const line = {
    kind: "tools",
    prompt: "How warm is it in Oslo?",
    tools,
    call: { name: "weather", arguments: { city: "Oslo" } },
  };
  const [task] = parseTasks(JSON.stringify(line), "t.jsonl");
  const call = (name: string, given: object | string) =>
    `<tool_call>${typeof given === "string" ? given : JSON.stringify({ name, arguments: given })}</tool_call>`;
  const steps = async (answer: string) => {
    const { passed, call: reached } = await grade(task!, answer);
    return [passed, reached!.written, reached!.known, reached!.valid];
  };
  assert.deepEqual(await steps(call("weather", { city: "Oslo", unit: "C" })), [true, true, true, true]);
  assert.deepEqual(await steps(call("weather", { city: "Rome" })), [false, true, true, true]);
  assert.deepEqual(await steps(call("weather", { city: 7 })), [false, true, true, false]);
  assert.deepEqual(await steps(call("weather", { unit: "C" })), [false, true, true, false]);
  assert.deepEqual(await steps(call("wether", { city: "Oslo" })), [false, true, false, false]);
  assert.deepEqual(await steps(call("", '{"name": "weather", "arguments": {"city"')), [
    false,
    false,
    false,
    false,
  ]);
  assert.deepEqual(await steps("It is warm."), [false, false, false, false]);
  const malformed = (changed: object) => () => parseTasks(JSON.stringify({ ...line, ...changed }), "t.jsonl");
  assert.throws(
    malformed({ call: "rain" }),
    /line 1: expects a call of "rain", which is none of its "tools"/,
  );
  const untyped = [{ type: "function", function: { name: "weather", parameters: { type: "thing" } } }];
  assert.throws(malformed({ tools: untyped }), /"parameters" of the tool "weather" are no JSON Schema/);
});
