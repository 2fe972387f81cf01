/**
 * The explorer as one HTML file that needs nothing else: script, solver, style and the model's header are in it, so
 * that it works from any web host and from a folder. Its policy allows its own script and style, by their hashes, a
 * worker made of the page's text, and reading models; nothing else is loaded.
 */
import { readFile } from "node:fs/promises";
import { EnvironmentError } from "../errors.js";
import { presetTexts } from "../recipe/presets.js";
import { escapeHtml } from "../report/html.js";
import { policyHash } from "../report/policy-hash.js";
import { version } from "../version.js";
import type { ExplorableModel } from "./explorable-model.js";
import type { Knowledge } from "./explorer.js";
import { type PageData, packModel } from "./page-data.js";
import { markup } from "./page-markup.js";
import { explorerStyle } from "./page-style.js";
import { defaultSettings, writeSettings } from "./settings.js";

/** The page for a model. The same model gives the same bytes. */
export async function renderExplorer(model: ExplorableModel, knowledge: Knowledge): Promise<string> {
  const { made } = knowledge;
  const [script, solver, wasm] = await Promise.all(
    ["main.js", "solver.js", "highs.wasm.gz"].map(async (name) => readBundled(name)),
  );
  const presets = [...(await presetTexts())];
  const start = made && `${writeSettings({ ...defaultSettings, kind: "file", gigabytes: made.bytes / 1e9 })}`;
  const data: PageData = { version, presets, model: packModel(model, knowledge), start };
  const code = (script ?? Buffer.alloc(0)).toString("utf8");
  const policy = [
    "default-src 'none'",
    `script-src '${policyHash(code)}' 'wasm-unsafe-eval'`,
    `style-src '${policyHash(explorerStyle)}'`,
    "worker-src blob:",
    "connect-src 'self' blob: https: http://127.0.0.1:* http://localhost:*",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(`${model.name}: Lopsided explorer`)}</title>
<link rel="icon" href="data:,">
<style>${explorerStyle}</style>
</head>
<body>
${markup}
<script type="application/json" id="page-data">${JSON.stringify(data).replaceAll("<", "\\u003c")}</script>
<script type="text/plain" id="solver-script">${(solver ?? Buffer.alloc(0)).toString("utf8").replaceAll(/<(?=\/script|!--)/gi, "\\x3c")}</script>
<script type="text/plain" id="solver-wasm">${(wasm ?? Buffer.alloc(0)).toString("base64")}</script>
<script>${code}</script>
</body>
</html>
`;
}

async function readBundled(name: string): Promise<Buffer> {
  const url = new URL(`./page/${name}`, import.meta.url);
  try {
    return await readFile(url);
  } catch (cause) {
    throw new EnvironmentError(
      `${url.pathname}: cannot be read (${cause}); install Lopsided again, or build it with "npm run build".`,
      {},
      { cause },
    );
  }
}
