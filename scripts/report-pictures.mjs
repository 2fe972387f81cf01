// Makes the documentation's pictures of the report: light and dark on a desk, and on a phone.
//   npm run build && node scripts/report-pictures.mjs [DIR [FOLDER]]
// DIR is a folder that `lopsided make` filled; without one, what fixtures/evaluation.json says is drawn.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { readEvaluation } from "../dist/report/evaluation.js";
import { renderReport } from "../dist/report/report.js";
import { openBrowser } from "../dist/testing/browser.js";

const fixtures = fileURLToPath(new URL("../fixtures", import.meta.url));
const [made = fixtures, folder = fileURLToPath(new URL("../docs", import.meta.url))] = process.argv.slice(2);
const temporary = await mkdtemp(join(tmpdir(), "lopsided-pictures-"));
const path = join(temporary, "report.html");
await writeFile(path, renderReport(await readEvaluation(join(made, "evaluation.json"))));
const browser = await openBrowser();
for (const [name, width, height, colorScheme, deviceScaleFactor] of [
  ["report-light", 860, 1300, "light", 1.5],
  ["report-dark", 860, 1300, "dark", 1.5],
  ["report-phone", 360, 1300, "light", 2],
]) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme, deviceScaleFactor });
  await page.goto(pathToFileURL(path).href);
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.close();
}
await browser.close();
await rm(temporary, { recursive: true });
