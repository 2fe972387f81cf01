import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CancelledError, EnvironmentError } from "../errors.js";
import type { ProbeRequest } from "../testing/isolated-probe.js";
import { Isolated, type IsolatedOptions } from "./isolated.js";

const opened: Isolated<ProbeRequest, unknown>[] = [];
after(() => {
  for (const isolated of opened) {
    isolated.close();
  }
});

const limits = { timeoutMs: 60_000 };

function probe(options: Partial<IsolatedOptions> = {}): Isolated<ProbeRequest, unknown> {
  const isolated = new Isolated<ProbeRequest, unknown>({
    module: new URL("../testing/isolated-probe.js", import.meta.url).href,
    readable: [],
    heapMegabytes: 64,
    memoryMegabytes: 400,
    ...options,
  });
  opened.push(isolated);
  return isolated;
}

for (const unconfined of [false, true]) {
  const where = unconfined
    ? "without the system's confinement"
    : "with the system's confinement if it is there";
  test(`an isolated process can read, write and start nothing, and make no code, ${where}`, async () => {
    assert.deepEqual(await probe({ unconfined }).ask("succeeded", limits), { reply: [] });
  });
}

test("each way to end badly has its name, and the next request is answered", async () => {
  const isolated = probe();
  assert.deepEqual(await isolated.ask("loop", { timeoutMs: 300 }), { failure: "too slow" });
  assert.deepEqual(await isolated.ask("exit", limits), { failure: "ended" });
  assert.deepEqual(await isolated.ask("allocate", limits), { failure: "too much memory" });
  const { failure } = (await isolated.ask("grow", limits)) as { failure: string };
  assert.match(failure, /^(ended|too much memory)$/); // V8 may end the process before its thread
  assert.deepEqual(await isolated.ask("count", limits), { reply: 1 });
});

test("a request that cannot be sent fails alone", async () => {
  const isolated = probe();
  let nested: unknown = "count";
  for (let depth = 0; depth < 100_000; depth++) {
    nested = [nested];
  }
  await assert.rejects(isolated.ask(nested as ProbeRequest, limits), RangeError);
  await assert.rejects(isolated.ask((() => {}) as unknown as ProbeRequest, limits), /could not be cloned/);
  assert.deepEqual(await isolated.ask("count", limits), { reply: 1 });
});

test("a worker is kept, or replaced after every request", async () => {
  const kept = probe();
  await kept.ask("count", limits);
  assert.deepEqual(await kept.ask("count", limits), { reply: 2 });
  const fresh = probe({ fresh: true });
  await fresh.ask("count", limits);
  assert.deepEqual(await fresh.ask("count", limits), { reply: 1 });
});

test("a request can be cancelled", async () => {
  const isolated = probe();
  await isolated.start();
  const abort = new AbortController();
  const asked = isolated.ask("loop", { ...limits, signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  await assert.rejects(asked, CancelledError);
  assert.deepEqual(await isolated.ask("count", limits), { reply: 1 });
});

test("a module that cannot be loaded is an error in words", async () => {
  const module = new URL("./no-such-module.js", import.meta.url).href;
  await assert.rejects(probe({ module }).ask("count", limits), EnvironmentError);
});

test("a process that is closed while it starts does not stay, and another can follow", async () => {
  const isolated = probe();
  const started = isolated.start();
  isolated.close();
  await assert.rejects(started, EnvironmentError);
  assert.deepEqual(await isolated.ask("count", limits), { reply: 1 });
});
