// Opens every page of the documentation's site in Chromium, on a desk and on a phone: no error in the console, no dead
// link or anchor, nothing wider than the screen, and the search finds something.
//
//   npm run docs && npm run build && node scripts/check-docs.mjs [FOLDER FOR SCREENSHOTS]
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { openBrowser } from "../dist/testing/browser.js";

const site = fileURLToPath(new URL("../docs/.vitepress/dist", import.meta.url));
const [pictures] = process.argv.slice(2);
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".png": "image/png" };
const problems = [];

const server = createServer((request, response) => {
  const path = join(site, normalize(decodeURIComponent(new URL(request.url, "http://site").pathname)));
  const file = existsSync(path) && statSync(path).isDirectory() ? join(path, "index.html") : path;
  if (!existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await openBrowser();

/** Visits all pages that links lead to from the first one. Returns the anchors and links of each, by path. */
async function visitAll(device, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  let path = "/";
  const note = (what) => problems.push(`${device}, ${path}: ${what}`);
  page.on("console", (message) => message.type() === "error" && note(message.text()));
  page.on("pageerror", (error) => note(error.message));
  page.on(
    "response",
    (response) => response.status() >= 400 && note(`${response.status()} ${response.url()}`),
  );
  const pages = new Map();
  const waiting = ["/"];
  for (path = waiting.shift(); path !== undefined; path = waiting.shift()) {
    await page.goto(origin + path, { waitUntil: "networkidle" });
    const seen = await page.evaluate(() => ({
      ids: [...document.querySelectorAll("[id]")].map(({ id }) => id),
      links: [...document.querySelectorAll("a[href]")].map(({ href }) => href),
      broken: [...document.images].filter((each) => each.complete && each.naturalWidth === 0).length,
      overflow: document.documentElement.scrollWidth - window.innerWidth,
    }));
    pages.set(path, seen);
    if (seen.broken > 0) {
      note(`${seen.broken} pictures are not shown`);
    }
    if (seen.overflow > 0) {
      note(`${seen.overflow} pixels wider than the screen`);
    }
    if (pictures) {
      const name =
        path === "/"
          ? "index"
          : path
              .slice(1)
              .replace(/\.html$/, "")
              .replaceAll("/", "-");
      await page.screenshot({ path: join(pictures, `${device}-${name}.png`) });
    }
    for (const url of seen.links.map((link) => new URL(link)).filter((link) => link.origin === origin)) {
      if (!pages.has(url.pathname) && !waiting.includes(url.pathname)) {
        waiting.push(url.pathname);
      }
    }
  }
  await context.close();
  return pages;
}

function checkAnchors(pages) {
  for (const [path, { links }] of pages) {
    for (const url of links
      .map((link) => new URL(link))
      .filter((link) => link.origin === origin && link.hash)) {
      const { ids } = pages.get(url.pathname) ?? { ids: [] };
      if (!ids.includes(decodeURIComponent(url.hash.slice(1)))) {
        problems.push(`${path}: no ${url.pathname}${url.hash}`);
      }
    }
  }
}

async function checkSearch() {
  const page = await browser.newPage();
  await page.goto(origin, { waitUntil: "networkidle" });
  await page.keyboard.press("Control+k");
  await page.locator(".search-input").fill("imatrix");
  await page.locator("a.result").first().waitFor({ timeout: 10_000 });
  await page.close();
}

const desk = await visitAll("desk", { viewport: { width: 1280, height: 900 } });
await visitAll("phone", { viewport: { width: 390, height: 760 }, hasTouch: true, colorScheme: "dark" });
checkAnchors(desk);
await checkSearch();
await browser.close();
server.close();
if (problems.length > 0) {
  console.error([...new Set(problems)].join("\n"));
  process.exit(1);
}
console.log(`${desk.size} pages, on a desk and on a phone: no error, no dead link, search works`);
