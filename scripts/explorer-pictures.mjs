// Makes the pictures of the explorer in docs/ from the reference model's header, and prints the page's size and how long
// answers take. Needs Chromium (CHROMIUM_PATH if it is in an unusual place).

import { readFileSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { explore } from "../dist/explore/explore.js";
import { openBrowser } from "../dist/testing/browser.js";
import { explorableGeometries } from "../dist/testing/explorable-geometries.js";
import { writeGeometry } from "../dist/testing/model-geometries.js";

const docs = fileURLToPath(new URL("../docs/", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "lopsided-explorer-"));
const [geometry] = explorableGeometries;
const model = await writeGeometry(join(folder, "Qwen3-Coder-30B-A3B-BF16.gguf"), geometry);
const { output } = await explore({ model, output: join(folder, "page") });
const browser = await openBrowser();
for (const [name, width, height, colorScheme] of [
  ["explorer-desk.png", 1000, 1180, "light"],
  ["explorer-phone.png", 390, 1320, "dark"],
]) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1.5 });
  const started = performance.now();
  await page.goto(`${pathToFileURL(output)}#memory=16GB+GPU&ctx=16384&cache-type-k=q8_0&cache-type-v=q8_0`);
  await page.waitForFunction(() => document.body.dataset.bytes !== undefined);
  const first = performance.now() - started;
  await page.waitForFunction(() => document.body.dataset.exact === "true", undefined, { timeout: 60_000 });
  const exact = performance.now() - started;
  await page.screenshot({ path: join(docs, name) });
  const moves = [];
  for (let i = 0; i < 20; i++) {
    moves.push(
      await page.evaluate(
        (part) => {
          const slider = document.getElementById("amount");
          slider.value = String(Number(slider.min) + part * (Number(slider.max) - Number(slider.min)));
          slider.dispatchEvent(new Event("input"));
          return new Promise((resolve) =>
            setTimeout(() => resolve(Number(document.body.dataset.milliseconds)), 120),
          );
        },
        0.35 + 0.03 * i,
      ),
    );
  }
  moves.sort((a, b) => a - b);
  console.log(
    `${name}: first answer after ${first.toFixed(0)} ms, the solver's after ${exact.toFixed(0)} ms, the slider's in ${moves[10]} ms (median of ${moves.length}; longest ${moves.at(-1)} ms)`,
  );
  await page.close();
}
await browser.close();
const { size } = await stat(output);
console.log(`page: ${size} bytes, ${gzipSync(readFileSync(output)).byteLength} compressed`);
await rm(folder, { recursive: true, force: true });
