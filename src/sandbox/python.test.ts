import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { attempt } from "../testing/sandbox.js";
import { PythonSandbox } from "./python.js";

const sandbox = new PythonSandbox();
before(async () => await sandbox.start());
after(() => sandbox.close());

const callF = [{ function: "f", arguments: [] }];

async function nextProgramRuns(): Promise<void> {
  assert.deepEqual(await sandbox.run("def f(): return 1", callF), {
    failure: undefined,
    returned: [{ value: 1 }],
    output: "",
  });
}

test("functions of a program are called, and results, errors and output come back", async () => {
  const code = "def add(a, b):\n    print('adding')\n    return a + b";
  const { failure, returned, output } = await sandbox.run(code, [
    { function: "add", arguments: [1, 2] },
    { function: "add", arguments: ["a", 1] },
    { function: "subtract", arguments: [] },
  ]);
  assert.equal(failure, undefined);
  assert.deepEqual(returned[0], { value: 3 });
  assert.match(JSON.stringify(returned[1]), /TypeError: can only concatenate str/);
  assert.deepEqual(returned[2], { error: "NameError: there is no function subtract" });
  assert.equal(output, "adding\nadding\n");
});

test("both of a program's streams are its output", async () => {
  const code =
    "import sys, warnings\nprint('out')\nprint('error', file=sys.stderr)\nwarnings.warn('warned')\nprint('end', file=sys.__stderr__)";
  const { failure, output } = await sandbox.run(code);
  assert.equal(failure, undefined);
  assert.match(output, /^out\nerror\nprogram\.py:4: UserWarning: warned\n.*end\n$/s);
});

test("tuples and sets become lists; what JSON does not know is an error of that call", async () => {
  const code = "def f(which):\n    return [(1, (2,)), {3, 1}, float('nan'), object(), {'a': None}][which]";
  const calls = [0, 1, 2, 3, 4].map((which) => ({ function: "f", arguments: [which] }));
  const { returned } = await sandbox.run(code, calls);
  assert.deepEqual(returned[0], { value: [1, [2]] });
  assert.deepEqual(returned[1], { value: [1, 3] });
  assert.match(JSON.stringify(returned[2]), /ValueError/);
  assert.match(JSON.stringify(returned[3]), /a object is not a result that can be compared/);
  assert.deepEqual(returned[4], { value: { a: null } });
});

test("text of all kinds goes in and comes out", async () => {
  const text = "größer, \u{1f600}, \0, \\, \", '''";
  const { returned, output } = await sandbox.run("def f(x):\n    print(x)\n    return x + 'ß'", [
    { function: "f", arguments: [text] },
  ]);
  assert.deepEqual(returned, [{ value: `${text}ß` }]);
  assert.equal(output, `${text}\n`);
});

test("a program that is no Python says so", async () => {
  assert.match((await sandbox.run("def f(:")).failure ?? "", /^SyntaxError/);
  assert.equal((await sandbox.run("raise ValueError('no')")).failure, "ValueError: no");
});

test("the standard library is there", async () => {
  const modules =
    "abc, asyncio, bisect, collections, copy, csv, dataclasses, datetime, decimal, enum, fractions, functools, hashlib, heapq, itertools, json, math, operator, random, re, statistics, string, textwrap, typing, unittest";
  assert.equal((await sandbox.run(`import ${modules}`)).failure, undefined);
});

test("the same program does the same, random numbers and the order of sets included", async () => {
  const code =
    "import os, random\ndef f(): return [random.random(), list(os.urandom(4)), list({'a', 'b', 'c'})]";
  const first = await sandbox.run(code, callF);
  assert.equal(first.failure, undefined);
  assert.deepEqual(await sandbox.run(code, callF), first);
});

test("time passes, and a program can wait", async () => {
  const body =
    "import time\nbefore = time.monotonic()\ntime.sleep(0.05)\nreturn time.monotonic() - before >= 0.049";
  assert.equal(await attempt(sandbox, body), true);
  const { failure } = await sandbox.run(`import time\nassert abs(time.time() - ${Date.now() / 1000}) < 600`);
  assert.equal(failure, undefined);
});

const endless = {
  "never ends": "while True: pass",
  "loops in C": "import collections, itertools\ncollections.deque(itertools.count(), maxlen=0)",
  "matches for ever": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
  "computes a huge power": "3 ** (3 ** 20)",
  sleeps: "import time\ntime.sleep(1000)",
  "catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
  "prints for ever": "while True: print('x' * 1000)",
  "writes reports for ever": "import os\nwhile True: os.write(2, b'x' * 1000)",
};

for (const [what, code] of Object.entries(endless)) {
  test(`a program that ${what} is stopped, and the next one runs`, async () => {
    const { failure } = await sandbox.run(code, [], { timeoutMs: 1000 });
    assert.equal(failure, "did not end within 1 s");
    await nextProgramRuns();
  });
}

const hungry = {
  "one large array": "x = bytearray(2**30)",
  "many small ones": "x = []\nwhile True: x.append(bytearray(2**20))",
  "a long text": "x = 'x' * 2**31",
  "a number": "x = 1 << (2**33)",
  "a list": "x = list(range(10**9))",
};

for (const [what, code] of Object.entries(hungry)) {
  test(`a program that fills the memory with ${what} gets an error, and the next one runs`, async () => {
    const { failure } = await sandbox.run(code, [], { timeoutMs: 120_000 });
    assert.match(failure ?? "", /^(MemoryError|OverflowError|broke the interpreter)/);
    await nextProgramRuns();
  });
}

test("a flood of output is cut", async () => {
  const { output } = await sandbox.run("import sys\nfor i in range(20): sys.stdout.write('x' * 10**6)");
  assert.equal(output.length, 65_536);
});

test("a flood of results is cut, and those before it are kept", async () => {
  const { failure, returned } = await sandbox.run("def f(n): return 'x' * n", [
    { function: "f", arguments: [3] },
    { function: "f", arguments: [2_000_000] },
  ]);
  assert.equal(failure, "returned more than 1 MiB");
  assert.deepEqual(returned, [{ value: "xxx" }]);
});

const breakdowns = {
  "leaves with sys.exit": "import sys\nsys.exit(0)",
  "leaves with os._exit": "import os\nos._exit(0)",
  "leaves with another status": "import os\nos._exit(3)",
  aborts: "import os\nos.abort()",
  "kills itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
  "raises a signal": "import signal\nsignal.raise_signal(signal.SIGSEGV)",
  "breaks a rule of memory": "import faulthandler\nfaulthandler._sigsegv()",
  "calls itself for ever": "def g(n): return g(n + 1)\ng(0)",
  "calls itself without a limit":
    "import sys\nsys.setrecursionlimit(2**31 - 1)\nclass A:\n    def __getattr__(self, name): return getattr(self, name)\nA().x",
  "overflows the stack of the compiler": "eval('(' * 100000)",
  "closes its streams": "import os\nfor i in range(3): os.close(i)\nraise ValueError('closed')",
  "takes the builtins away": "import builtins\nbuiltins.__dict__.clear()",
};

for (const [what, code] of Object.entries(breakdowns)) {
  test(`a program that ${what} has returned nothing, and the next one runs`, async () => {
    const { failure, returned } = await sandbox.run(code, callF);
    assert.ok(failure !== undefined || (returned[0] && "error" in returned[0]), JSON.stringify(returned));
    await nextProgramRuns();
  });
}
