import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { ProbeRequest } from "../testing/isolated-probe.js";
import { confine } from "./confinement.js";
import { Isolated } from "./isolated.js";

const isMissing =
  (await confine([])).length === 0 && "this system confines no processes (is bubblewrap installed?)";
const limits = { timeoutMs: 60_000 };

let server: Server;
let port: number;
let connections = 0;
const folder = mkdtempSync(join(tmpdir(), "lopsided-confined-"));
const opened: Isolated<ProbeRequest, unknown>[] = [];

before(async () => {
  server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  port = typeof address === "object" && address ? address.port : 0;
});
after(() => {
  server.close();
  rmSync(folder, { recursive: true });
  for (const isolated of opened) {
    isolated.close();
  }
});

function probe(unconfined: boolean): Isolated<ProbeRequest, unknown> {
  const isolated = new Isolated<ProbeRequest, unknown>({
    module: new URL("../testing/isolated-probe.js", import.meta.url).href,
    readable: [folder],
    heapMegabytes: 64,
    memoryMegabytes: 400,
    unconfined,
  });
  opened.push(isolated);
  return isolated;
}

async function connection(isolated: Isolated<ProbeRequest, unknown>): Promise<unknown> {
  await isolated.ask({ port }, limits);
  for (;;) {
    const outcome = await isolated.ask("connection", limits);
    const state = "reply" in outcome ? outcome.reply : outcome.failure;
    if (state !== "pending") {
      return state;
    }
    await pause(10);
  }
}

test("a confined process reaches neither the machine's ports nor its processes", {
  skip: isMissing,
}, async () => {
  const confined = probe(false);
  assert.match(String(await connection(confined)), /ENETUNREACH|ECONNREFUSED|EADDRNOTAVAIL/);
  assert.equal(connections, 0);
  assert.deepEqual(await confined.ask({ pid: process.ppid }, limits), { reply: false });
});

test("these tests can fail: a process without confinement reaches both", async () => {
  const unconfined = probe(true);
  assert.equal(await connection(unconfined), "connected");
  assert.deepEqual(await unconfined.ask({ pid: process.pid }, limits), { reply: true });
});

/** Processes, by number, whose command line has the text. */
function processesWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(text);
      } catch {
        return false; // it has ended
      }
    });
}

const isLinux = process.platform === "linux";

test("a confined process sees no file of the user, and has no rights", { skip: isMissing }, async () => {
  const isolated = probe(false);
  await isolated.start();
  const [pid] = processesWith(`--allow-fs-read=${folder}`).filter((each) =>
    readFileSync(`/proc/${each}/cmdline`, "latin1").startsWith(process.execPath),
  );
  assert.ok(pid);
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  assert.match(status, /^CapEff:\s0{16}$/m);
  assert.match(status, /^NoNewPrivs:\s1$/m);
  assert.deepEqual(readdirSync(`/proc/${pid}/root/etc`), ["ld.so.cache"]);
  assert.deepEqual(
    readFileSync(`/proc/${pid}/environ`, "latin1")
      .match(/^\w+(?==)|(?<=\0)\w+(?==)/g)
      ?.sort(),
    ["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "PWD"],
  );
  isolated.close();
});

async function killOnceStarted(parent: ChildProcess): Promise<void> {
  await new Promise((resolve) => parent.stdout?.once("data", resolve));
  parent.kill("SIGKILL");
  await new Promise((resolve) => parent.once("exit", resolve));
}

for (const how of ["confined", "unconfined"]) {
  test(`a ${how} process in an endless loop ends with its parent`, { skip: !isLinux }, async () => {
    const marker = mkdtempSync(join(folder, "marker-"));
    const program = fileURLToPath(new URL("../testing/isolated-parent.js", import.meta.url));
    const parent = spawn(process.execPath, [program, marker, how], { stdio: ["ignore", "pipe", "inherit"] });
    await killOnceStarted(parent);
    while (processesWith(marker).length > 0) {
      await pause(50); // the test's own time limit ends this
    }
  });
}
