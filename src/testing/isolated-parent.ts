/** A program that has an isolated process work for ever. Its argument is a folder by which that can be recognized. */
import { Isolated } from "../isolation/isolated.js";
import type { ProbeRequest } from "./isolated-probe.js";

const isolated = new Isolated<ProbeRequest, unknown>({
  module: new URL("./isolated-probe.js", import.meta.url).href,
  readable: [process.argv[2] ?? ""],
  heapMegabytes: 64,
  memoryMegabytes: 400,
  unconfined: process.argv[3] === "unconfined",
});
await isolated.start();
console.log("started");
await isolated.ask("loop", { timeoutMs: 600_000 });
