import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { after, before, test } from "node:test";
import { attempt } from "../testing/sandbox.js";
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

const ownFile = JSON.stringify(import.meta.filename);

/** What a program tries; each must be an error. */
const refused = {
  "open the host's files": "return open('/etc/passwd').read()",
  "open them from a folder of the library": "return open('/usr/local/lib/../../../etc/passwd').read()",
  "open our code": `return open(${ownFile}).read()`,
  "see the host's processes": "return open('/proc/self/environ').read()",
  "open a device": "return open('/dev/tty', 'w').write('x')",
  "list the root": "import os\nreturn os.listdir('/')",
  "list the working folder": "import os\nreturn os.listdir('.')",
  "write a file": "return open('x', 'w').write('x')",
  "write a temporary file": "import tempfile\nreturn tempfile.NamedTemporaryFile().name",
  "make a folder": "import os\nreturn os.mkdir('/x')",
  "delete the library": "import os\nreturn os.remove('/usr/local/lib/python312.zip')",
  "rename the library": "import os\nreturn os.rename('/usr/local/lib/python312.zip', '/usr/local/lib/x')",
  "link to a file": "import os\nreturn os.symlink('/etc/passwd', '/usr/local/lib/passwd')",
  "keep a database": "import sqlite3\nreturn sqlite3.connect('/x.db').execute('create table t (a)')",
  "run a command": "import os\nreturn os.system('true')",
  "read from a command": "import os\nreturn os.popen('true').read()",
  "start a process": "import subprocess\nreturn subprocess.run(['true'])",
  "start a process of Python": "import multiprocessing\nreturn multiprocessing.Process(target=print).start()",
  "become another program": "import os\nreturn os.execv('/bin/true', ['true'])",
  fork: "import os\nreturn os.fork()",
  "open a terminal": "import pty\nreturn pty.spawn('/bin/sh')",
  "start a thread": "import threading\nreturn threading.Thread(target=print).start()",
  "end another process": "import os\nreturn os.kill(1, 9)",
  "open an address":
    "import urllib.request\nreturn urllib.request.urlopen('http://127.0.0.1:PORT/', timeout=1).status",
  "connect a socket":
    "import socket\nsocket.create_connection(('127.0.0.1', PORT), 1).recv(1)\nreturn 'connected'",
  "listen on a socket": "import socket\nreturn str(socket.create_server(('127.0.0.1', 0)))",
  "make a pair of sockets": "import socket\nreturn str(socket.socketpair())",
  "look a name up": "import socket\nreturn socket.gethostbyname('localhost')",
  "run an event loop": "import asyncio\nreturn asyncio.run(asyncio.open_connection('127.0.0.1', PORT))",
  "load native code": "import ctypes\nreturn ctypes.CDLL('libc.so.6').getpid()",
  "load native code by another way": "import _ctypes\nreturn _ctypes.dlopen('libc.so.6', 0)",
  "load a native module":
    "import importlib.machinery as m\nreturn str(m.ExtensionFileLoader('x', '/lib/x86_64-linux-gnu/libc.so.6').load_module())",
  "map memory": "import mmap\nreturn len(mmap.mmap(-1, 4096))",
  "import js": "import js\nreturn js.process.pid",
  "import pyodide_js": "import pyodide_js\nreturn str(pyodide_js)",
  "run JavaScript": "from pyodide.code import run_js\nreturn str(run_js('process.pid'))",
  "reach Node.js through a fresh object of JavaScript": `from pyodide.ffi import create_proxy, to_js
fresh = to_js([])
prototype = fresh.constructor.constructor.prototype.__proto__
caught = []
prototype.__defineGetter__("kindOfStream", create_proxy(lambda *args: caught.append(args)))
return str(fresh.constructor.getBuiltinModule("vm"))`,
  "install packages": "import micropip\nreturn 'installed'",
};

for (const [what, body] of Object.entries(refused)) {
  test(`a program cannot ${what}`, async () => {
    const outcome = await attempt(sandbox, body.replaceAll("PORT", String(port)));
    assert.match(JSON.stringify(outcome), /^\{"(error|failure)":/, `it got ${JSON.stringify(outcome)}`);
    assert.equal(connections, 0);
  });
}

test("a program has three streams and the folder of the library, which is in its own memory", async () => {
  const body = `import os
found = []
for descriptor in range(1024):
    try:
        os.fstat(descriptor)
        found.append(descriptor)
    except OSError:
        pass
return found`;
  assert.deepEqual(await attempt(sandbox, body), [0, 1, 2, 3]);
});

test("what a program can learn of the host is nothing", async () => {
  process.env.LOPSIDED_SECRET = "secret";
  const learned = await attempt(
    sandbox,
    "import os, sys\nreturn [dict(os.environ), os.getcwd(), list(os.uname()), sys.argv, sys.executable]",
  );
  delete process.env.LOPSIDED_SECRET;
  assert.deepEqual(learned, [{}, "/", ["wasi", "(none)", "0.0.0", "0.0.0", "wasm32"], ["-c"], ""]);
});

const poisons = {
  "changes a constant": "import math\nmath.pi = 3",
  "replaces a builtin function": "import builtins\nbuiltins.len = lambda x: 0",
  "replaces the encoder":
    "import json\njson.dumps = json.JSONEncoder.encode = lambda *a, **k: '{\"value\": 7}'",
  "replaces a module": "import sys\nsys.modules['math'] = sys.modules['json'] = None",
  "replaces the importer": "import sys\nsys.meta_path.clear()\nsys.path_hooks.clear()\nsys.path.clear()",
  "leaves tracing on": "import sys\nsys.settrace(lambda *a: 1 / 0)\nsys.setprofile(lambda *a: 1 / 0)",
  "leaves work for the end": "import atexit, os\natexit.register(os.abort)",
  "changes the garbage collector": "import gc\ngc.disable()\ngc.freeze()\ngc.set_threshold(1)",
  "leaves a file": "try: open('/tmp/left', 'w').write('x')\nexcept OSError: pass",
  "overwrites the library": "open('/usr/local/lib/python3.12/os.py', 'w').write('raise SystemExit')",
  "changes the environment": "import os\nos.environ['LEFT'] = 'x'\nos.putenv('LEFT', 'x')",
  "writes into a constant's memory":
    "import _testinternalcapi, _testcapi, sys\nsys.intern('left')\nsys.set_int_max_str_digits(700)",
};

for (const [what, code] of Object.entries(poisons)) {
  test(`a program that ${what} changes nothing for the next one`, async () => {
    await sandbox.run(code);
    const found = await attempt(
      sandbox,
      "import gc, json, math, os, sys\nreturn [math.pi, len('abc'), json.loads(json.dumps([1])), os.path.exists('/tmp/left'), 'LEFT' in os.environ, gc.isenabled(), sys.gettrace(), sys.get_int_max_str_digits()]",
    );
    assert.deepEqual(found, [Math.PI, 3, [1], false, false, true, null, 4300]);
  });
}

const forgeries = {
  "more results than calls": "import os\nos.write(2, b'{\"value\": 1}\\n' * 5)",
  "a result that nests too deeply":
    "import os\nos.write(2, b'{\"value\": ' + b'[' * 100000 + b']' * 100000 + b'}\\n')",
  "a result that is no JSON": "import os\nos.write(2, b'\\xff\\x00{]\\n')",
  "a report and an end": 'import os\nos.write(2, b\'{"value": true, "passed": true}\\n\')\nos._exit(0)',
};

for (const [what, code] of Object.entries(forgeries)) {
  test(`a program that forges ${what} spoils its own result at most`, async () => {
    const { returned } = await sandbox.run(`${code}\ndef f(): return 3`, [{ function: "f", arguments: [] }]);
    for (const each of returned) {
      assert.ok(["1", "3"].includes(JSON.stringify("value" in each ? each.value : each)));
    }
    assert.equal(await attempt(sandbox, "return 1"), 1);
  });
}
