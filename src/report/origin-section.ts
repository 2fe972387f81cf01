/** Where everything comes from: the last part of the report. */
import { formatCount } from "../units.js";
import type { Evaluation } from "./evaluation.js";
import { bothSizes, coverageLine, expertsLine, textLine } from "./facts.js";
import { escapeHtml, pre } from "./html.js";
import type { Section } from "./section.js";

export function originSection(evaluation: Evaluation): Section {
  const { command, recipe, files } = evaluation;
  const named = files.map(({ name, bytes, sha256 }): [string, string, string] => [
    name,
    bothSizes(bytes),
    sha256,
  ]);
  return {
    id: "origin",
    title: "Where it comes from",
    lead: "What went in, with SHA-256 checksums, and the command that made the folder.",
    body: `${factsTable("What went in", facts(evaluation))}
<h3>Command</h3>${pre(command)}
<h3>Recipe</h3>${pre(recipe.text)}
<h3>Files</h3>${factsTable("Files", named)}`,
  };
}

type Fact = readonly [name: string, value: string, sum?: string];

function factsTable(label: string, rows: readonly Fact[]): string {
  const lines = rows.map(
    ([name, value, sum]) =>
      `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(value)}${sum ? `<br><code>${escapeHtml(sum)}</code>` : ""}</td></tr>`,
  );
  return `<table class="facts" aria-label="${escapeHtml(label)}"><tbody>${lines.join("\n")}</tbody></table>`;
}

function facts(evaluation: Evaluation): Fact[] {
  const { source, calibration, evaluations = [], tasks, options, tools, recipe } = evaluation;
  const rows: Fact[] = [
    [
      "source",
      `${source.given}: ${source.architecture}, ${formatCount(source.parameters)} weights, ${bothSizes(source.bytes)}, ${source.bpw.toFixed(2)} bits per weight`,
      source.sha256.join(" "),
    ],
  ];
  const license = [source.license, source.licenseName, source.licenseLink].filter(
    (part) => part !== undefined,
  );
  if (license.length > 0) {
    rows.push(["license", license.join(", ")]);
  }
  if (calibration !== undefined) {
    rows.push([
      "importance matrix",
      `${textLine(calibration)}. ${coverageLine(evaluation) ?? ""}`.trim(),
      calibration.sha256,
    ]);
  }
  for (const text of evaluations) {
    rows.push(["evaluation text", textLine(text), text.sha256]);
  }
  if (tasks !== undefined) {
    rows.push(["tasks", `${tasks.name}, ${tasks.count} tasks`, tasks.sha256]);
  }
  const experts = expertsLine(evaluation);
  if (experts !== undefined) {
    rows.push(["experts", experts]);
  }
  const { plan } = recipe;
  if (plan !== undefined) {
    rows.push([
      "types",
      `chosen for ${plan.budget.title}; predicted KL divergence ${plan.predicted.toFixed(5)} nats, at best ${plan.bound.toFixed(5)}; ${plan.errors} errors; sensitivities: ${plan.sensitivity}`,
    ]);
  }
  const prior = options.priorWeight === undefined ? "" : `, prior weight of ${options.priorWeight} tokens`;
  rows.push([
    "encoder",
    `effort ${options.effort}${options.moments ? ", with second moments of the inputs" : ""}${options.scales ? ", scales of the routed experts fitted afterwards" : ""}${prior}`,
  ]);
  const llamaCpp = tools.llamaCpp === undefined ? "" : `, llama.cpp ${tools.llamaCpp}`;
  rows.push(["tools", `Lopsided ${tools.lopsided}${llamaCpp}, Node.js ${tools.node}`]);
  return rows;
}
