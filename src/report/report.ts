/**
 * The report: one HTML file that needs nothing else, from `evaluation.json` alone. The same evaluation gives the same
 * bytes. Its policy allows the file's own style and script, by their hashes, and nothing from elsewhere.
 */
import { createHash } from "node:crypto";
import { formatBinaryBytes, formatBytes, formatCount } from "../units.js";
import { bitsSection } from "./charts/bits.js";
import { coverageSection } from "./charts/coverage.js";
import { errorsSection } from "./charts/errors.js";
import { memorySection } from "./charts/memory.js";
import { qualitySection } from "./charts/quality.js";
import { tasksSection } from "./charts/tasks.js";
import type { Evaluation } from "./evaluation.js";
import { percent } from "./facts.js";
import { escapeHtml } from "./html.js";
import { originSection } from "./origin-section.js";
import { script } from "./script.js";
import type { Section } from "./section.js";
import { style } from "./style.js";

/** The whole file. Parts that the evaluation does not have are left out. */
export function renderReport(evaluation: Evaluation): string {
  const sections = [
    qualitySection(evaluation),
    bitsSection(evaluation),
    errorsSection(evaluation),
    coverageSection(evaluation),
    memorySection(evaluation),
    tasksSection(evaluation),
    originSection(evaluation),
  ].filter((section) => section !== undefined);
  const policy = `default-src 'none'; style-src '${hashOf(style)}'; script-src '${hashOf(script)}'; img-src data:; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(evaluation.name)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
${header(evaluation)}
<main>
${sections.map(render).join("\n")}
</main>
<footer>Every figure is taken from <code>evaluation.json</code>, written by Lopsided ${escapeHtml(evaluation.tools.lopsided)}.</footer>
<div id="tip" role="status" hidden></div>
<script>${script}</script>
</body>
</html>
`;
}

function render({ id, title, lead, body }: Section): string {
  return `<section aria-labelledby="${id}">
<h2 id="${id}">${escapeHtml(title)}</h2>
<p class="lead">${escapeHtml(lead)}</p>
${body}
</section>`;
}

function header({ name, source, recipe, output, variants, tools }: Evaluation): string {
  const quantized = variants.find(({ id }) => id === "quantized");
  const baseline = variants.find(({ id }) => id === "baseline");
  const { measurement } = quantized ?? {};
  const kld = measurement?.kld;
  const than = (text: string | undefined) => (text === undefined ? "" : `; ${baseline?.label}: ${text}`);
  const tiles = [
    [
      "size",
      formatBytes(output.bytes),
      `${formatBinaryBytes(output.bytes)}${than(baseline && formatBytes(baseline.bytes))}`,
    ],
    [
      "bits per weight",
      output.bpw.toFixed(2),
      `${formatCount(output.parameters)} weights; source: ${source.bpw.toFixed(2)}`,
    ],
    kld && [
      "mean KL divergence, nats",
      kld.mean.toFixed(5),
      `± ${kld.meanError.toFixed(5)}${than(baseline?.measurement?.kld?.mean.toFixed(5))}`,
    ],
    measurement?.pplRatio === undefined
      ? measurement && ["perplexity", measurement.ppl.toFixed(4), `± ${measurement.pplError.toFixed(4)}`]
      : [
          "perplexity / source's",
          measurement.pplRatio.toFixed(4),
          `± ${(measurement.pplRatioError ?? 0).toFixed(4)}${than(baseline?.measurement?.pplRatio?.toFixed(4))}`,
        ],
    measurement?.topAgreement === undefined
      ? undefined
      : [
          "same top token",
          percent(measurement.topAgreement),
          `± ${percent(measurement.topAgreementError ?? 0)}${than(baseline?.measurement?.topAgreement === undefined ? undefined : percent(baseline.measurement.topAgreement))}`,
        ],
    tasksTile(quantized?.tasks),
  ].filter((tile) => tile !== undefined);
  const items = tiles.map(([label = "", value = "", note]) => {
    const small = note ? `<small>${escapeHtml(note)}</small>` : "";
    return `<div><dt>${escapeHtml(label)}</dt><dd>${escapeHtml(value)}${small}</dd></div>`;
  });
  return `<header>
<h1>${escapeHtml(name)}</h1>
<p class="lead">${escapeHtml(source.name ?? source.given)} (${escapeHtml(source.architecture)}), quantized by Lopsided ${escapeHtml(tools.lopsided)} with the recipe ${escapeHtml(recipe.name)}.</p>
<dl class="key columns-${items.length === 6 ? 3 : Math.min(5, items.length)}">${items.join("\n")}</dl>
</header>`;
}

function tasksTile(tasks: Evaluation["variants"][number]["tasks"]): (string | undefined)[] | undefined {
  const sums = (tasks ?? []).filter(({ kind }) => kind !== "all");
  if (sums.length === 0) return undefined;
  const passed = sums.reduce((sum, rate) => sum + rate.passed, 0);
  const total = sums.reduce((sum, rate) => sum + rate.total, 0);
  return ["tasks solved", `${passed} of ${total}`, undefined];
}

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
