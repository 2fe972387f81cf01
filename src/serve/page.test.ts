import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { browserPath, openBrowser } from "../testing/browser.js";
import { puzzle, puzzleAnswer, serveTinyModel } from "../testing/serve.js";
import type { RunningServer } from "./server.js";

const skip = browserPath === undefined && "no Chromium is installed";
let server: RunningServer;
let browser: Browser;

before(async () => {
  if (skip) {
    return;
  }
  server = await serveTinyModel({ parallel: 2 });
  browser = await openBrowser();
});
after(async () => {
  if (skip) {
    return;
  }
  await browser.close();
  await server.stop();
});

/** Opens the page as a phone does; what goes wrong in it is collected. */
async function openPage(url = server.url): Promise<{ page: Page; problems: string[] }> {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      problems.push(message.text());
    }
  });
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(url);
  return { page, problems };
}

async function ask(page: Page, question: string): Promise<void> {
  await page.getByLabel("Your message").fill(question);
  await page.getByRole("button", { name: "Send" }).click();
}

test("a question is typed and its answer is streamed, without a complaint of the browser", {
  skip,
}, async () => {
  const { page, problems } = await openPage();
  await page.getByRole("heading", { name: "tiny-moe-q8_0" }).waitFor();
  await page.route("**/v1/chat/completions", (route) =>
    route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), temperature: 0 }) }),
  );
  await page.getByLabel("Your message").pressSequentially(puzzle(35));
  await page.keyboard.press("Enter");
  await page.getByText(puzzleAnswer(35)).waitFor();
  await page.getByText(/^\d+ tokens, [\d.]+ tokens\/s/).waitFor();
  await ask(page, "Write a Python function that merges overlapping intervals.");
  await page.locator("pre", { hasText: "def merge_intervals" }).waitFor();
  assert.equal(await page.locator(".user").count(), 2);
  const width = await page.evaluate("document.documentElement.scrollWidth");
  assert.equal(width, 390);
  assert.deepEqual(problems, []);
  await page.context().close();
});

test("an answer can be stopped, and a new chat begins empty", { skip }, async () => {
  const { page, problems } = await openPage();
  // Events held back keep the answer from ending before the click.
  await page.route("**/v1/chat/completions", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await route.continue().catch(() => {});
  });
  await ask(page, puzzle(30));
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("stopped", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Send" }).waitFor();
  await page.getByRole("button", { name: "New chat" }).click();
  assert.equal(await page.locator("#log > *").count(), 0);
  assert.deepEqual(problems, []);
  await page.context().close();
});

test("a server's error is shown, and a key is asked for where one is needed", { skip }, async () => {
  const locked = await serveTinyModel({ parallel: 1, ctxSize: 256, apiKey: "sesame" });
  try {
    const { page } = await openPage(locked.url);
    await page.getByLabel("API key").fill("sesame");
    await page.getByLabel("API key").blur();
    await page.getByRole("heading", { name: "tiny-moe-q8_0" }).waitFor();
    await ask(page, "word ".repeat(500));
    await page
      .getByRole("alert")
      .filter({ hasText: /^the prompt has \d+ tokens, but the context has 256/ })
      .waitFor();
    await page.context().close();
  } finally {
    await locked.stop();
  }
});

test("what a model writes is never read as HTML, and nothing else is loaded", { skip }, async () => {
  const { page, problems } = await openPage();
  const answer = { choices: [{ delta: { content: '<img src=x onerror="document.title=1">' } }] };
  await page.route("**/v1/chat/completions", (route) =>
    route.fulfill({
      contentType: "text/event-stream",
      body: `data: ${JSON.stringify(answer)}\n\ndata: [DONE]\n\n`,
    }),
  );
  await ask(page, "Hello");
  await page.getByText("<img src=x").waitFor();
  assert.equal(await page.locator("img").count(), 0);
  assert.equal(await page.title(), "tiny-moe-q8_0");
  assert.deepEqual(problems, []);
  const blocked = await page.evaluate("fetch('https://example.com').then(() => 'loaded', () => 'blocked')");
  assert.equal(blocked, "blocked");
  await page.context().close();
});
