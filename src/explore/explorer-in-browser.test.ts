import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { renderCurves } from "../budget/curves-file.js";
import { quantize } from "../quantize/quantize.js";
import { browserPath, openBrowser } from "../testing/browser.js";
import { fixture } from "../testing/command.js";
import { explorableGeometries } from "../testing/explorable-geometries.js";
import { plainMetadata } from "../testing/gguf-file.js";
import { writeGeometry } from "../testing/model-geometries.js";
import { explore } from "./explore.js";

const skip = browserPath === undefined && "no Chromium is installed";
const tiny = fixture("tiny-moe-q8_0.gguf");
let browser: Browser;
let folder: string;
/** Any web host: files of the folder as they are, in whole, for pages of this host alone. */
let host: Server;
let models: string[];

before(async () => {
  if (skip) {
    return;
  }
  folder = await mkdtemp(join(tmpdir(), "lopsided-explorer-"));
  host = await serve(async ({ url = "/" }, response) => {
    const path = join(folder, new URL(url, "http://host").pathname);
    response.setHeader("content-type", "text/html").end(await readFile(path));
  });
  models = await Promise.all(
    explorableGeometries.map(async (geometry, i) => {
      const model = await writeGeometry(join(folder, `${i}.gguf`), geometry);
      await explore({ model, output: join(folder, `${i}`) });
      return model;
    }),
  );
  await explore({ model: tiny, output: join(folder, "tiny") });
  browser = await openBrowser();
});
after(async () => {
  if (skip) {
    return;
  }
  await browser.close();
  host.close();
  await rm(folder, { recursive: true, force: true });
});

async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<Server> {
  const server = createServer(async (request, response) => {
    try {
      await answer(request, response);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

const addressOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** Opens a page of the folder; what the browser complains of and asks other hosts for is collected. */
async function openPage(
  name: string,
  hash = "",
  options: BrowserContextOptions = {},
): Promise<{ page: Page; problems: string[]; strangers: string[] }> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const problems: string[] = [];
  const strangers: string[] = [];
  page.on("console", (message) => problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${addressOf(host)}/`) && !/^(blob|data):/.test(url)) {
      strangers.push(url);
    }
  });
  await page.goto(`${addressOf(host)}/${name}/index.html${hash}`);
  return { page, problems, strangers };
}

interface Shown {
  readonly bytes: number;
  readonly recipe: string;
  readonly amount: string;
  readonly hash: string;
}

/** What the page shows once the solver has answered. */
async function solved(page: Page): Promise<Shown> {
  await page.locator('body[data-exact="true"]').waitFor();
  return await page.evaluate<Shown>(`({
    bytes: Number(document.body.dataset.bytes),
    recipe: document.getElementById("recipe").textContent,
    amount: document.getElementById("amount-text").textContent,
    hash: location.hash,
  })`);
}

/** Moves the slider to a part of its length. */
async function slide(page: Page, part: number): Promise<void> {
  await page.evaluate(`{
    const slider = document.getElementById("amount");
    const [least, most] = [slider.min, slider.max].map(Number);
    document.body.dataset.exact = "waiting";
    slider.value = String(least + ${part} * (most - least));
    slider.dispatchEvent(new Event("input"));
  }`);
}

async function problemOf(page: Page): Promise<string> {
  const problem = page.locator("#problem");
  await problem.waitFor();
  return (await problem.textContent()) ?? "";
}

for (const [i, { title }] of explorableGeometries.entries()) {
  test(`the page and its link show what quantize will write: ${title}`, { skip }, async () => {
    const { page, problems, strangers } = await openPage(`${i}`, "#memory=24GB+RAM&imatrix=no");
    await solved(page);
    for (const part of [0.35, 0.6]) {
      await slide(page, part);
      const { bytes, recipe: text } = await solved(page);
      const recipe = join(folder, "recipe.yaml");
      await writeFile(recipe, text);
      const output = join(folder, "out.gguf");
      const written = await quantize({ model: models[i] ?? "", output, recipe, dryRun: true });
      assert.equal(bytes, written.bytes);
    }
    const shown = await solved(page);
    await page.reload();
    assert.deepEqual(await solved(page), shown);
    assert.deepEqual({ problems, strangers }, { problems: [], strangers: [] });
    await page.context().close();
  });
}

test("the page is used by keyboard alone, and says in words what its charts show", { skip }, async () => {
  const { page, problems } = await openPage("0", "#memory=16GB+GPU");
  await solved(page);
  const focused = () => page.evaluate(`document.activeElement.id || document.activeElement.textContent`);
  for (let presses = 0; (await focused()) !== "24 GB"; presses++) {
    assert.ok(presses < 20, "the machines are reached");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  assert.equal((await solved(page)).amount, "24 GB GPU");
  // The button is another one now that it is pressed; the slider follows.
  await page.locator("#amount").focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator("#amount-text", { hasText: "23.9 GB GPU" }).waitFor();
  assert.equal(await page.locator("#amount").getAttribute("aria-valuetext"), "23.9 GB GPU");
  await page.locator("summary").first().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "Recipes and what they cost" }).waitFor();
  const described = await page
    .locator('[role="img"]')
    .evaluateAll((charts) => charts.map((chart) => chart.ariaLabel));
  assert.equal(described.length, 3);
  assert.match(described[0] ?? "", /^Memory of 24\.\d+ GB: weights [\d.]+ GB, KV cache/);
  assert.match(described[1] ?? "", /The chosen file has [\d.]+ GB and [\d.]+ nats.*Q4_K_M: [\d.]+ GB/);
  assert.match(described[2] ?? "", /^Map of 336 tensors by layer and role, coloured by type: /);
  assert.deepEqual(problems, []);
  await page.context().close();
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`the page is whole on a phone (${colorScheme})`, { skip }, async () => {
    const { page, problems } = await openPage("1", "", {
      viewport: { width: 360, height: 740 },
      hasTouch: true,
      colorScheme,
    });
    await solved(page);
    await page.evaluate(`for (const part of document.querySelectorAll("details")) part.open = true`);
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 360);
    await page.getByRole("button", { name: "Mac" }).tap();
    assert.match((await solved(page)).amount, /GB Mac$/);
    assert.deepEqual(problems, []);
    await page.context().close();
  });
}

test("a dropped header opens the model, and dropped measurements are used", { skip }, async () => {
  const { page, problems, strangers } = await openPage("0", "#size=12MB");
  assert.match(await problemOf(page), /A file of 0\.012 GB is too small/);
  const beginning = (await readFile(tiny)).subarray(0, 200_000);
  await drop(page, "tiny-moe-q8_0.gguf", beginning);
  await page.getByText("14.44 M weights in 51 tensors").waitFor();
  const typical = await solved(page);
  const { page: own } = await openPage("tiny", "#size=12MB&ctx=4096");
  assert.deepEqual((await solved(own)).bytes, typical.bytes);
  await own.context().close();

  const curves = new Map([["blk.0.ffn_down_exps.weight", new Map([["IQ2_XS", 0.9] as const])]]);
  const measured = {
    version: "1",
    model: tiny,
    imatrix: undefined,
    effort: "default",
    fingerprint: "",
    curves,
  };
  await drop(page, "curves.json", Buffer.from(renderCurves(measured)));
  await page.getByText("What each type does to a tensor: measured on this model").waitFor();
  const foreign = { ...measured, curves: new Map([["blk.9.ffn_down_exps.weight", new Map()]]) };
  await drop(page, "foreign.json", Buffer.from(renderCurves(foreign)));
  assert.match(await problemOf(page), /foreign\.json: has the error curves of another model/);
  assert.deepEqual({ problems, strangers }, { problems: [], strangers: [] });
  await page.context().close();
});

async function drop(page: Page, name: string, content: Uint8Array): Promise<void> {
  const base64 = Buffer.from(content).toString("base64");
  const transfer = await page.evaluateHandle(`{
    const bytes = Uint8Array.from(atob("${base64}"), (character) => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "${name}"));
    transfer;
  }`);
  await page.dispatchEvent("main", "drop", { dataTransfer: transfer });
}

test("what cannot be opened or shown is a sentence in the page", { skip }, async (t) => {
  const dense = await writeGeometry(join(folder, "dense.gguf"), {
    ...(explorableGeometries[2] ?? { title: "", tensors: [] }),
    metadata: plainMetadata({
      "general.architecture": "llama",
      "llama.block_count": 1,
      "llama.context_length": 4096,
      "llama.embedding_length": 4096,
      "llama.attention.head_count": 32,
      "llama.vocab_size": 32_000,
    }),
    tensors: (explorableGeometries[2]?.tensors ?? []).filter(
      ({ name }) => !name.includes("exps") && !name.includes("gate_inp"),
    ),
  });
  const bytes = await readFile(tiny);
  /** A host that sends ranges with these headers, or the whole file. */
  const modelHost = async (headers: Readonly<Record<string, string>>, ranges = true) => {
    const server = await serve(({ url = "", headers: { range = "" }, method }, response) => {
      const [, first = "0", last = "0"] = /(\d+)-(\d+)/.exec(range) ?? [];
      for (const [name, value] of Object.entries(headers)) {
        response.setHeader(name, value);
      }
      if (method === "OPTIONS") {
        response.writeHead(204).end();
      } else if (!url.startsWith("/model.gguf")) {
        response.writeHead(404).end();
      } else if (ranges) {
        response.setHeader("content-range", `bytes ${first}-${last}/${bytes.byteLength}`);
        response.writeHead(206).end(bytes.subarray(Number(first), Number(last) + 1));
      } else {
        response.writeHead(200).end("whole");
      }
    });
    t.after(() => server.close());
    return `${addressOf(server)}/model.gguf`;
  };
  const cors = { "access-control-allow-origin": "*", "access-control-allow-headers": "range" };
  const exposed = { ...cors, "access-control-expose-headers": "content-range" };
  const good = await modelHost(exposed);

  const { page } = await openPage("tiny", "#memory=abc");
  assert.match(await problemOf(page), /"abc" is not a machine; write it like "16GB GPU"/);
  const open = async (address: string) => {
    await page.locator("#address").fill(address);
    await page.getByRole("button", { name: "Open" }).click();
  };
  await open(good);
  await page.getByText(`${good}: 14.44 M weights`).waitFor();
  await page.locator("#problem").waitFor({ state: "hidden" });
  for (const [address, message] of [
    [
      await modelHost({}),
      /does not allow pages of other sites to read it \(CORS\)\. Download the file's beginning/,
    ],
    [await modelHost(exposed, false), /sends whole files only, no ranges/],
    [await modelHost(cors), /does not tell pages how long the file is/],
    [good.replace("model", "missing"), /there is no such file/],
    ["a shopping list", /is not an address; write hf:/],
    ["hf://owner/repository", /names a repository; name a GGUF file in it/],
  ] as const) {
    await open(address);
    await page.locator("#problem", { hasText: message }).waitFor();
  }
  await drop(page, "notes.gguf", Buffer.from("milk, bread, and nothing of a model in it"));
  await page.locator("#problem", { hasText: /notes\.gguf: .*not a GGUF file/ }).waitFor();
  await drop(page, "cut.gguf", bytes.subarray(0, 5000));
  await page
    .locator("#problem", { hasText: /cut\.gguf: its 5000 bytes end before the header does; drop more/ })
    .waitFor();
  await drop(page, "notes.json", Buffer.from("{}"));
  await page.locator("#problem", { hasText: /neither what “lopsided sensitivity” nor/ }).waitFor();

  await page.locator("#file").setInputFiles(dense);
  await page.getByText("This model has no experts").waitFor();
  await page.goto(`${addressOf(host)}/0/index.html#memory=4GB+GPU`);
  await page.reload();
  await page
    .locator("#problem", {
      hasText: /A 4 GB GPU is too small: .* needs at least [\d.]+ GB\. Move the slider/,
    })
    .waitFor();
  await page.context().close();
});

test("a link opens a model on the Hub by itself, and no other", { skip }, async () => {
  const bytes = await readFile(tiny);
  const context = await browser.newContext();
  const page = await context.newPage();
  const asked: string[] = [];
  // Stands for the Hub, which is not reached from here.
  await context.route("https://huggingface.co/**", async (route) => {
    const request = route.request();
    asked.push(request.url());
    const [, first = "0", last = "0"] = /(\d+)-(\d+)/.exec(request.headers().range ?? "") ?? [];
    const headers = {
      "access-control-allow-origin": "*",
      "access-control-allow-headers": "range",
      "access-control-expose-headers": "content-range",
      "content-range": `bytes ${first}-${last}/${bytes.byteLength}`,
    };
    const body = bytes.subarray(Number(first), Number(last) + 1);
    await route.fulfill({ status: request.method() === "OPTIONS" ? 204 : 206, headers, body });
  });
  const url = `${addressOf(host)}/0/index.html#size=12MB&model=`;
  await page.goto(`${url}hf://owner/repository/tiny-moe-q8_0.gguf`);
  await page.getByText("14.44 M weights in 51 tensors").waitFor();
  const shown = await solved(page);
  assert.match(
    (await page.locator("#commands").textContent()) ?? "",
    /hf:\/\/owner\/repository\/tiny-moe-q8_0\.gguf/,
  );
  await page.reload();
  assert.deepEqual(await solved(page), shown);
  assert.deepEqual(
    [...new Set(asked)],
    ["https://huggingface.co/owner/repository/resolve/main/tiny-moe-q8_0.gguf"],
  );
  await page.goto(`${url}https://example.org/model.gguf`);
  await page.reload();
  await page.getByText("press Open to read its header").waitFor();
  await context.close();
});

test("the page of a made model begins with it, and its divergence is the measured one", {
  skip,
}, async () => {
  const output = join(folder, "made");
  await mkdir(output, { recursive: true });
  const { openModel } = await import("../model/open.js");
  const { explorerPage } = await import("./explore.js");
  const source = await openModel(tiny);
  const types = new Map(
    source.tensors.map(({ name, type }) => [name, type === "F32" ? type : ("Q4_K" as const)]),
  );
  const made = { name: "tiny-Q4_K", bytes: 8_200_000, types, measured: 0.0123 };
  const imatrix = fixture("reference/imatrix.gguf");
  await writeFile(join(output, "index.html"), await explorerPage(source, { imatrix, made }));
  await source.close();
  const { page, problems } = await openPage("made");
  assert.equal((await solved(page)).amount, "8.20 MB");
  await page.locator("summary").first().click();
  const row = page.getByRole("row", { name: "tiny-Q4_K" });
  assert.deepEqual(await row.locator("td").allInnerTexts(), ["8.20 MB", "0.012", "0.012"]);
  assert.doesNotMatch((await page.locator("#commands").textContent()) ?? "", /lopsided imatrix/);
  assert.deepEqual(problems, []);
  await page.context().close();
});
