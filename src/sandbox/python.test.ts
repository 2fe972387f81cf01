import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { after, before, test } from "node:test";
import { PythonSandbox } from "./python.js";

const sandbox = new PythonSandbox();
let connections = 0;
let server: Server;
let port: number;

before(async () => {
  server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  port = typeof address === "object" && address ? address.port : 0;
  await sandbox.start();
});
after(() => {
  sandbox.close();
  server.close();
});

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

test("a program that is no Python says so", async () => {
  assert.match((await sandbox.run("def f(:")).failure ?? "", /^SyntaxError/);
  assert.equal((await sandbox.run("raise ValueError('no')")).failure, "ValueError: no");
});

test("a program meets nothing of the one before", async () => {
  await sandbox.run(
    "import builtins, json\nbuiltins.len = lambda x: 0\njson.dumps = None\nopen('/tmp/left', 'w').write('x')",
  );
  const { returned } = await sandbox.run(
    "import os\ndef f(): return [len('abc'), os.path.exists('/tmp/left')]",
    [{ function: "f", arguments: [] }],
  );
  assert.deepEqual(returned, [{ value: [3, false] }]);
});

/** What the last expression of a program that tries something is, or the error it raised. */
async function attempt(body: string): Promise<unknown> {
  const lines = body.split("\n").map((line) => `    ${line}`);
  const { failure, returned } = await sandbox.run(`def attempt():\n${lines.join("\n")}`, [
    { function: "attempt", arguments: [] },
  ]);
  const [first] = returned;
  if (failure !== undefined || first === undefined) return { failure };
  return "value" in first ? first.value : first;
}

const refused = {
  "open the host's files": "return open('/etc/passwd').read()",
  "open our code": `return open(${JSON.stringify(import.meta.filename)}).read()`,
  "run a command": "import os\nassert os.system('true') == 0\nreturn 'ran'",
  "start a process": "import subprocess\nreturn subprocess.run(['true'])",
  fork: "import os\nreturn os.fork()",
  "import js": "import js\nreturn js.process.pid",
  "import js past its removal":
    "import sys, importlib\nsys.modules.pop('js', None)\nreturn str(importlib.import_module('js'))",
  "import pyodide_js": "import pyodide_js\nreturn str(pyodide_js)",
  "run JavaScript": "from pyodide.code import run_js\nreturn str(run_js('process.pid'))",
  "mount the host's file system":
    "import pyodide_js\npyodide_js.mountNodeFS('/host', '/')\nimport os\nreturn os.listdir('/host')",
  "install packages": "import micropip\nreturn 'installed'",
  fetch: "import pyodide.http\nreturn str(pyodide.http.open_url('http://127.0.0.1:PORT/'))",
  "open an address":
    "import urllib.request\nreturn str(urllib.request.urlopen('http://127.0.0.1:PORT/', timeout=1).status)",
  "read a socket": "import socket\nsocket.create_connection(('127.0.0.1', PORT), 1).recv(1)\nreturn 'read'",
  "load native code": "import ctypes\nreturn ctypes.CDLL('libc.so.6').getpid()",
  "see the environment":
    "import os\nreturn os.environ['PATH_OF_HOST'] if 'PATH_OF_HOST' in os.environ else os.environ['NODE_OPTIONS']",
};

for (const [what, body] of Object.entries(refused))
  test(`a program cannot ${what}`, async () => {
    const outcome = await attempt(body.replaceAll("PORT", String(port)));
    assert.match(JSON.stringify(outcome), /^\{"(error|failure)":/, `it got ${JSON.stringify(outcome)}`);
    assert.equal(connections, 0);
  });

test("a program finds no object of JavaScript", async () => {
  const found = await attempt(`import gc
from pyodide.ffi import JsProxy
def proxies(thing):
    return [str(value) for value in gc.get_referents(thing) if isinstance(value, JsProxy)]
return [proxy for thing in gc.get_objects() for proxy in proxies(thing)]`);
  assert.deepEqual(found, []);
});

test("a program that never ends is stopped, and the next one runs", async () => {
  assert.equal(
    (await sandbox.run("while True: pass", [], { timeoutMs: 500 })).failure,
    "did not end within 0.5 s",
  );
  assert.deepEqual((await sandbox.run("def f(): return 1", [{ function: "f", arguments: [] }])).returned, [
    { value: 1 },
  ]);
});

test("a program that sleeps is stopped", async () => {
  assert.equal(
    (await sandbox.run("import time\ntime.sleep(1000)", [], { timeoutMs: 500 })).failure,
    "did not end within 0.5 s",
  );
});

test("what takes too much memory is an error, in Python's memory or beside it", async () => {
  assert.match((await sandbox.run("x = bytearray(2**30)")).failure ?? "", /^MemoryError/);
  assert.match(
    (await sandbox.run("x = []\nwhile True: x.append(bytearray(2**20))")).failure ?? "",
    /^MemoryError/,
  );
  const { failure } = await sandbox.run(
    "with open('/tmp/x', 'wb') as f:\n    for i in range(100000): f.write(bytes(2**24))",
    [],
    { timeoutMs: 60_000 },
  );
  assert.match(failure ?? "", /^took more memory than the 256 MiB/);
  assert.deepEqual((await sandbox.run("def f(): return 1", [{ function: "f", arguments: [] }])).returned, [
    { value: 1 },
  ]);
});

test("a flood of output is cut", async () => {
  const { output } = await sandbox.run("import sys\nfor i in range(20): sys.stdout.write('x' * 10**6)");
  assert.equal(output.length, 65_536);
});

const breakdowns = {
  "leaves with sys.exit": "import sys\nsys.exit(0)",
  "leaves with os._exit": "import os\nos._exit(0)",
  aborts: "import os\nos.abort()",
  "kills itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\nwhile True: pass",
  "calls itself for ever": "def f(n): return f(n + 1)\nf(0)",
  "overflows the stack of the compiler": "eval('(' * 100000)",
};

for (const [what, code] of Object.entries(breakdowns))
  test(`a program that ${what} has returned nothing`, async () => {
    const { failure, returned } = await sandbox.run(code, [{ function: "f", arguments: [1] }]);
    assert.ok(failure !== undefined || (returned[0] && "error" in returned[0]), JSON.stringify(returned));
  });
