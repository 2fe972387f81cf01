import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { browserPath, openBrowser } from "../testing/browser.js";
import { hostileEvaluation, largeEvaluation, tinyEvaluation } from "../testing/evaluation.js";
import type { Evaluation } from "./evaluation.js";
import { renderReport } from "./report.js";

const skip = browserPath === undefined && "no Chromium is installed";
let browser: Browser;
let folder: string;

before(async () => {
  if (skip) {
    return;
  }
  browser = await openBrowser();
  folder = await mkdtemp(join(tmpdir(), "lopsided-report-"));
});
after(async () => {
  if (skip) {
    return;
  }
  await browser.close();
  await rm(folder, { recursive: true, force: true });
});

const evaluations: readonly (readonly [string, () => Evaluation])[] = [
  ["a small model", tinyEvaluation],
  ["a large model", largeEvaluation],
];

/** Opens a report; collects what goes wrong in it, and what it asks for. */
async function openReport(
  evaluation: Evaluation,
  options: BrowserContextOptions,
): Promise<{ page: Page; problems: string[]; requests: string[] }> {
  const path = join(folder, "report.html");
  await writeFile(path, renderReport(evaluation));
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const problems: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(path).href);
  return { page, problems, requests };
}

/** How far the page's content reaches to the right beyond the window, and which texts of charts are cut off. */
async function overflow(page: Page): Promise<{ beyond: number; cut: string[] }> {
  return await page.evaluate<{ beyond: number; cut: string[] }>(`({
    beyond: document.documentElement.scrollWidth - innerWidth,
    cut: [...document.querySelectorAll(".chart text")]
      .filter((text) => text.getClientRects().length > 0)
      .filter((text) => {
        const box = text.getBoundingClientRect();
        return box.width > 0 && (box.left < 0 || box.right > innerWidth + 0.5);
      })
      .map((text) => text.textContent),
  })`);
}

for (const [name, evaluation] of evaluations) {
  for (const [width, colorScheme] of [
    [360, "light"],
    [360, "dark"],
    [1200, "dark"],
  ] as const) {
    test(`the report of ${name} is whole at ${width} pixels (${colorScheme})`, { skip }, async () => {
      const viewport = { width, height: 800 };
      const { page, problems, requests } = await openReport(evaluation(), { viewport, colorScheme });
      assert.deepEqual(await overflow(page), { beyond: 0, cut: [] });
      await page.evaluate(`for (const part of document.querySelectorAll("details")) part.open = true`);
      assert.equal((await overflow(page)).beyond, 0, "with all tables open");
      assert.deepEqual(problems, []);
      assert.deepEqual(requests, [page.url()], "nothing is asked for but the file");
      await page.context().close();
    });
  }
}

test("texts from metadata stay texts in a browser too", { skip }, async () => {
  const viewport = { width: 360, height: 800 };
  const { page, problems, requests } = await openReport(hostileEvaluation(), { viewport });
  assert.equal(await page.evaluate("document.images.length + document.scripts.length"), 1);
  assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360);
  assert.deepEqual(problems, []);
  assert.deepEqual(requests, [page.url()]);
  await page.context().close();
});

test("light and dark are different, and texts can be read on both", { skip }, async () => {
  const contrasts: number[] = [];
  const pages: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    const { page } = await openReport(tinyEvaluation(), { colorScheme });
    const [background = "", ink = "", muted = ""] = await page.evaluate<string[]>(
      `[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, getComputedStyle(document.querySelector(".lead")).color]`,
    );
    pages.push(background);
    contrasts.push(contrast(background, ink), contrast(background, muted));
    await page.context().close();
  }
  assert.notEqual(pages[0], pages[1]);
  for (const ratio of contrasts) {
    assert.ok(ratio >= 4.5, `contrast ${ratio}`);
  }
});

/** WCAG 2's contrast ratio of two `rgb(r, g, b)`. */
function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [a, b].map(luminance).sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).map((value) => {
    const share = Number(value) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test("the pointer on a mark shows its values, and leaving it hides them", { skip }, async () => {
  const { page } = await openReport(tinyEvaluation(), { viewport: { width: 1000, height: 900 } });
  const tip = page.locator("#tip");
  assert.equal(await tip.isVisible(), false);
  await page.locator('.wide [data-tip*="blk.2.ffn_down_exps"]').first().hover();
  assert.match(
    (await tip.textContent()) ?? "",
    /^blk\.2\.ffn_down_exps\.weight\nIQ3_S, 3\.44 bits per weight/,
  );
  assert.equal(await tip.isVisible(), true);
  const box = await tip.boundingBox();
  assert.ok(box !== null && box.x >= 0 && box.x + box.width <= 1000 && box.y >= 0);
  await page.mouse.move(1, 1);
  assert.equal(await tip.isVisible(), false);
  await page.context().close();
});

test("a touch near a mark shows its values", { skip }, async () => {
  const viewport = { width: 360, height: 740 };
  const { page } = await openReport(tinyEvaluation(), { viewport, hasTouch: true, isMobile: true });
  const mark = page.locator('.half [data-tip^="Q4_K_M"]').first();
  await mark.scrollIntoViewIfNeeded();
  const box = await mark.boundingBox();
  assert.ok(box !== null);
  await page.touchscreen.tap(box.x + box.width / 2 + 12, box.y + box.height / 2 + 12);
  const tip = page.locator("#tip");
  assert.equal(await tip.isVisible(), true);
  assert.match((await tip.textContent()) ?? "", /^Q4_K_M\nKL divergence/);
  const place = await tip.boundingBox();
  assert.ok(place !== null && place.x >= 0 && place.x + place.width <= 360);
  await page.context().close();
});

test("the arrow keys go from mark to mark of a chart", { skip }, async () => {
  const { page } = await openReport(tinyEvaluation(), { viewport: { width: 1000, height: 900 } });
  await page.locator(".half").first().focus();
  await page.keyboard.press("ArrowRight");
  const tip = page.locator("#tip");
  const first = await tip.textContent();
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await tip.textContent(), first);
  await page.keyboard.press("Escape");
  assert.equal(await tip.isVisible(), false);
  await page.context().close();
});
