// One calibration in a process of its own, for bench/windows.mjs: node bench/windows-once.mjs '{ "model": ..., ... }'
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { imatrix } from "../dist/imatrix/compute.js";

const options = JSON.parse(process.argv[2]);
const text = fileURLToPath(new URL("../fixtures/text/calibration.txt", import.meta.url));
const started = performance.now();
const { seconds, tokensPerSecond, tokens } = await imatrix({ text, ...options });
await rm(options.output);
const total = (performance.now() - started) / 1000;
console.log(JSON.stringify({ seconds, tokensPerSecond, total, tokensPerSecondInAll: tokens / total }));
