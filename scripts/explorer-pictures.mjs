// Makes the pictures of the explorer in docs/ from the reference model's header, and writes the page's size and how long
// answers take into docs/how-to/explore.md. The page is what `explore --output` leaves, served by python3 -m http.server
// where there is Python, otherwise opened as a file. Needs Chromium (CHROMIUM_PATH if it is in an unusual place).

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { markdownTable, withTables } from "../bench/tables/markers.mjs";
import { explore } from "../dist/explore/explore.js";
import { openBrowser } from "../dist/testing/browser.js";
import { explorableGeometries } from "../dist/testing/explorable-geometries.js";
import { writeGeometry } from "../dist/testing/model-geometries.js";

const docs = fileURLToPath(new URL("../docs/", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "lopsided-explorer-"));
const [geometry] = explorableGeometries;
const model = await writeGeometry(join(folder, "Qwen3-Coder-30B-A3B-BF16.gguf"), geometry);
const { output } = await explore({ model, output: join(folder, "page") });
const { address, stop } = await serve(dirname(output));
const browser = await openBrowser();
const measured = [];
for (const [name, title, width, height, colorScheme] of [
  ["explorer-desk.png", "desk", 1000, 1180, "light"],
  ["explorer-phone.png", "phone", 390, 1320, "dark"],
]) {
  measured.push([title, ...(await measure(name, { width, height }, colorScheme))]);
}
await browser.close();
stop();

const page = readFileSync(output);
const parts = [...page.toString().matchAll(/<script[^>]*>(.*?)<\/script>/gs)].map(([, text]) => text.length);
const [data, solver, wasm, main] = parts;
const kilobytes = (bytes) => `${(bytes / 1e3).toFixed(0)} kB`;
const tables = {
  "explorer-times": markdownTable(
    ["window", "first answer", "while the slider moves", "longest of 40", "solver, after the slider rests"],
    measured,
    [1, 2, 3, 4],
  ),
  "explorer-sizes": markdownTable(
    ["index.html", "compressed", "HiGHS", "its worker", "script", "model"],
    [[page.byteLength, gzipSync(page).byteLength, wasm, solver, main, data].map(kilobytes)],
    [0, 1, 2, 3, 4, 5],
  ),
};
const path = join(docs, "how-to", "explore.md");
const note = `\`node scripts/explorer-pictures.mjs\`, ${new Date().toISOString().slice(0, 10)}: ${geometry.tensors.length} tensors, Chromium on ${cpus().length} cores (${cpus()[0]?.model.trim()}) that had a load of ${loadavg()[0].toFixed(0)} from other work.`;
writeFileSync(
  path,
  withTables(readFileSync(path, "utf8"), (name) =>
    name === "explorer-times" ? `${tables[name]}\n\n${note}` : tables[name],
  ),
);
console.log(Object.values(tables).join("\n\n"));
await rm(folder, { recursive: true, force: true });

/** Serves a folder by Python's file server. */
async function serve(path) {
  const child = spawn("python3", [
    "-u",
    "-m",
    "http.server",
    "--bind",
    "127.0.0.1",
    "--directory",
    path,
    "0",
  ]);
  const line = await Promise.race([
    once(child.stdout, "data").then(([text]) => String(text)),
    once(child, "error").then(() => ""),
  ]);
  const [, port] = /port (\d+)/.exec(line) ?? [];
  const address = port === undefined ? pathToFileURL(path).href : `http://127.0.0.1:${port}`;
  console.log(`page: ${address}/index.html`);
  return { address, stop: () => child.kill() };
}

/** Milliseconds to the first answer, of moves of the slider, and to the solver's answer. */
async function measure(picture, viewport, colorScheme) {
  const page = await browser.newPage({ viewport, colorScheme, deviceScaleFactor: 1.5 });
  page.on("console", (message) => console.log(`console: ${message.text()}`));
  const started = performance.now();
  await page.goto(`${address}/index.html#memory=16GB+GPU&ctx=16384&cache-type-k=q8_0&cache-type-v=q8_0`);
  await page.waitForFunction(() => document.body.dataset.bytes !== undefined, undefined, { polling: 10 });
  const first = performance.now() - started;
  await page.locator('body[data-exact="true"]').waitFor({ timeout: 60_000 });
  await page.screenshot({ path: join(docs, picture) });
  const moves = [];
  for (let i = 0; i < 40; i++) {
    moves.push(await page.evaluate(move, 0.3 + 0.015 * i));
  }
  moves.sort((a, b) => a - b);
  const solved = [];
  for (const part of [0.35, 0.45, 0.55]) {
    await page.evaluate(move, part);
    const rested = performance.now();
    await page.locator('body[data-exact="true"]').waitFor({ timeout: 60_000 });
    solved.push(performance.now() - rested);
  }
  solved.sort((a, b) => a - b);
  await page.close();
  const milliseconds = [first, moves[20], moves.at(-1), solved[1]];
  return milliseconds.map((value) => `${value.toFixed(0)} ms`);
}

/** In the page: moves the slider to a part of its length; how long until the answer is painted. */
async function move(part) {
  const slider = document.getElementById("amount");
  slider.value = String(Number(slider.min) + part * (Number(slider.max) - Number(slider.min)));
  const started = performance.now();
  slider.dispatchEvent(new Event("input"));
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 0)));
  return performance.now() - started;
}
