import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

test("in a bare realm there is nothing of Node.js and the web but what cannot reach out", async () => {
  const module = new URL("./bare-realm.js", import.meta.url).href;
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
    const { createContext, runInContext } = require("node:vm");
    const language = runInContext("Object.getOwnPropertyNames(globalThis)", createContext());
    import(${JSON.stringify(module)}).then(({ bareRealm }) => {
      bareRealm();
      parentPort.postMessage(Object.getOwnPropertyNames(globalThis).filter((name) => !language.includes(name)));
    });`,
    { eval: true },
  );
  const left = await new Promise<string[]>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  await worker.terminate();
  assert.deepEqual(left.sort(), [
    "TextDecoder",
    "TextEncoder",
    "URL",
    "clearTimeout",
    "crypto",
    "performance",
    "queueMicrotask",
    "setTimeout",
  ]);
});
