/**
 * The report: one HTML file that needs nothing else, from `evaluation.json` alone. The same evaluation gives the same
 * bytes. Its policy allows the file's own style and script, by their hashes, and nothing from elsewhere.
 */
import { bitsSection } from "./charts/bits.js";
import { coverageSection } from "./charts/coverage.js";
import { errorsSection } from "./charts/errors.js";
import { memorySection } from "./charts/memory.js";
import { qualitySection } from "./charts/quality.js";
import { routingSection } from "./charts/routing.js";
import { tasksSection } from "./charts/tasks.js";
import { textsSection } from "./charts/texts.js";
import type { Evaluation } from "./evaluation.js";
import { renderHeader } from "./header.js";
import { escapeHtml } from "./html.js";
import { originSection } from "./origin-section.js";
import { policyHash } from "./policy-hash.js";
import { script } from "./script.js";
import type { Section } from "./section.js";
import { style } from "./style.js";

/** The whole file. Parts that the evaluation does not have are left out. */
export function renderReport(evaluation: Evaluation): string {
  const sections = [
    qualitySection(evaluation),
    textsSection(evaluation),
    routingSection(evaluation),
    bitsSection(evaluation),
    errorsSection(evaluation),
    coverageSection(evaluation),
    memorySection(evaluation),
    tasksSection(evaluation),
    originSection(evaluation),
  ].filter((section) => section !== undefined);
  const policy = `default-src 'none'; style-src '${policyHash(style)}'; script-src '${policyHash(script)}'; img-src data:; base-uri 'none'; form-action 'none'`;
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
${renderHeader(evaluation)}
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
