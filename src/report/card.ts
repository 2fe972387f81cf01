/** The model card: README.md of a repository on the Hugging Face Hub, from `evaluation.json` alone. */
import { bitsPerWeight } from "../quants/types.js";
import { formatBytes, formatCount } from "../units.js";
import { type Evaluation, explorerFileName, type MemoryTable } from "./evaluation.js";
import {
  bits,
  bothSizes,
  coverageLine,
  expertsLine,
  habitsTable,
  hasExplorer,
  machineFits,
  measurementMethod,
  measures,
  memoryGrid,
  modelFile,
  passRate,
  taskKinds,
  textLine,
  usualContext,
} from "./facts.js";

import { renderFrontMatter } from "./front-matter.js";
import { code, codeBlock, escapeMarkdown, markdownTable } from "./markdown.js";
import { isRepository } from "./origin.js";
import { textsMethod, textsTable, variantsByText } from "./texts.js";

/** The whole file. Parts that the evaluation does not have are left out. */
export function renderCard(
  evaluation: Evaluation,
  { quantizedBy = "lopsided" }: { readonly quantizedBy?: string | undefined } = {},
): string {
  const sections = [
    introduction(evaluation),
    scheme(evaluation),
    quality(evaluation),
    tasks(evaluation),
    memory(evaluation),
    usage(evaluation),
    provenance(evaluation),
  ];
  const text = sections.filter((section) => section !== undefined).join("\n\n");
  return `${renderFrontMatter(evaluation, quantizedBy)}\n${text}\n`;
}

function introduction(evaluation: Evaluation): string {
  const { name, source, recipe, output, tools } = evaluation;
  const { repository } = source;
  const title = escapeMarkdown(source.name ?? repository ?? source.given);
  const isOnHub = repository !== undefined && isRepository(repository);
  const origin = isOnHub ? `[${title}](https://huggingface.co/${repository})` : title;
  return [
    `# ${escapeMarkdown(name)}`,
    "",
    `${origin}, quantized for llama.cpp by Lopsided ${escapeMarkdown(tools.lopsided)} with the recipe ${code(recipe.name)}: **${bothSizes(output.bytes)}, ${output.bpw.toFixed(2)} bits per weight**, ${formatCount(output.parameters)} weights.`,
    "",
    `Every figure on this page is taken from ${code("evaluation.json")}, which lies beside it; ${code("report.html")} has the charts${hasExplorer(evaluation) ? `, ${code(explorerFileName)} shows what other sizes would cost` : ""}.`,
  ].join("\n");
}

function scheme(evaluation: Evaluation): string {
  const { groups, output, recipe } = evaluation;
  const experts = expertsLine(evaluation);
  const rows = groups.map(({ role, type, count, parameters, bytes }) => [
    escapeMarkdown(role),
    code(type),
    bitsPerWeight(type).toFixed(2),
    String(count),
    formatCount(parameters),
    formatBytes(bytes),
  ]);
  const tensors = groups.reduce((sum, { count }) => sum + count, 0);
  const { tensorBytes, parameters } = output;
  const total = ["together", "", bits(tensorBytes, parameters), String(tensors), formatCount(parameters)];
  const plan = recipe.plan;
  return [
    "## Scheme",
    "",
    "Bits per weight, tensors, weights and bytes by what the tensors are for, counted in the model file.",
    "",
    markdownTable(
      ["tensors", "type", "bits", "count", "weights", "size"],
      [...rows, [...total, formatBytes(tensorBytes)].map((cell) => (cell === "" ? "" : `**${cell}**`))],
      [2, 3, 4, 5],
    ),
    ...(experts ? ["", escapeMarkdown(experts)] : []),
    ...(plan === undefined
      ? []
      : [
          "",
          `The types were chosen by ${code("lopsided plan")} for a budget of ${escapeMarkdown(plan.budget.title)}: predicted KL divergence ${plan.predicted.toFixed(5)} nats (no choice within the budget is predicted below ${plan.bound.toFixed(5)}), from ${plan.errors} errors and the sensitivities ${code(plan.sensitivity)}.`,
        ]),
  ].join("\n");
}

function quality(evaluation: Evaluation): string | undefined {
  const measured = evaluation.variants.filter(({ measurement }) => measurement !== undefined);
  if (measured.length === 0) {
    return undefined;
  }
  const rows = measures.map(({ title, of }) => [
    title,
    ...measured.map(({ measurement }) => (measurement && of(measurement)) || "–"),
  ]);
  const sizes = ["size", ...measured.map(({ bytes, bpw }) => `${bothSizes(bytes)}, ${bpw.toFixed(2)} bpw`)];
  const isByText = variantsByText(evaluation).length > 0;
  return [
    "## Quality",
    "",
    escapeMarkdown(measurementMethod(evaluation)),
    "",
    markdownTable(
      [
        "",
        ...measured.map(({ id, label }) =>
          escapeMarkdown(id === "source" && label !== "source" ? `${label} (source)` : label),
        ),
      ],
      [sizes, ...rows.filter(([, ...cells]) => cells.some((cell) => cell !== "–"))],
      measured.map((_, column) => column + 1),
    ),
    ...(isByText ? ["", byText(evaluation)] : []),
  ].join("\n");
}

function byText(evaluation: Evaluation): string {
  const { head, rows } = textsTable(evaluation);
  return [
    "### By kind of text",
    "",
    textsMethod,
    "",
    markdownTable(
      head.map(escapeMarkdown),
      rows.map((row) => row.map(escapeMarkdown)),
      head.map((_, column) => column).slice(1),
    ),
  ].join("\n");
}

function tasks({ variants, tasks: file, checks = [] }: Evaluation): string | undefined {
  const kinds = taskKinds(variants);
  const checked = variants.filter((variant) => variant.tasks !== undefined);
  if (checked.length === 0 && checks.length === 0) {
    return undefined;
  }
  const of = file === undefined ? "" : ` of ${code(file.name)} (${file.count} tasks)`;
  const habits = answersTable(variants);
  const rows = kinds.map((kind) => [
    escapeMarkdown(kind),
    ...checked.map((variant) => {
      const rate = variant.tasks?.find((candidate) => candidate.kind === kind);
      return rate === undefined ? "–" : passRate(rate);
    }),
  ]);
  return [
    "## Tasks",
    "",
    `Chat tasks${of} with checkable answers, run by ${code("lopsided check")}; code is executed. In brackets the 95 % interval.`,
    ...(checked.length === 0
      ? []
      : [
          "",
          markdownTable(
            ["kind", ...checked.map(({ label }) => escapeMarkdown(label))],
            rows,
            checked.map((_, column) => column + 1),
          ),
        ]),
    ...(habits ? ["", habits] : []),
    ...(checks.length === 0 ? [] : ["", samples(checks)]),
  ].join("\n");
}

/** What users feel. */
function answersTable(variants: Evaluation["variants"]): string | undefined {
  const table = habitsTable(variants);
  return (
    table &&
    markdownTable(
      table.head.map(escapeMarkdown),
      table.rows.map((row) => row.map(escapeMarkdown)),
      table.head.map((_, column) => column).slice(1),
    )
  );
}

/** One task of each kind, solved if there is one that was. */
function samples(checks: NonNullable<Evaluation["checks"]>): string {
  const kinds = [...new Set(checks.map(({ kind }) => kind))];
  const shown = kinds.map((kind) => {
    const ofKind = checks.filter((check) => check.kind === kind);
    return ofKind.find(({ passed }) => passed) ?? ofKind[0];
  });
  const blocks = shown.flatMap((check) =>
    check === undefined
      ? []
      : [
          `**${escapeMarkdown(check.kind)}**, ${check.passed ? "passed" : "failed"}:`,
          "",
          codeBlock(check.prompt, "text"),
          "",
          codeBlock(check.answer, "text"),
          "",
        ],
  );
  return [
    "<details><summary>One task of each kind, with the answer</summary>",
    "",
    ...blocks,
    "</details>",
  ].join("\n");
}

function memory(evaluation: Evaluation): string | undefined {
  const table = evaluation.memory;
  if (table === undefined || table.rows.length === 0) {
    return undefined;
  }
  const { caches, contexts, at } = memoryGrid(table);
  const asked =
    table.source === "llama.cpp"
      ? `by llama.cpp ${evaluation.tools.llamaCpp ?? ""}`.trim()
      : "by Lopsided's formulas";
  return [
    "## Memory",
    "",
    `Weights, KV cache and compute buffers for one conversation, as computed ${escapeMarkdown(asked)} (compute buffers differ a little between backends), by context and type of the cache (${code("-ctk")}, ${code("-ctv")}).`,
    "",
    markdownTable(
      ["context", ...caches.map((cache) => `${code(cache)} cache`)],
      contexts.map((context) => [
        String(context),
        ...caches.map((cache) => {
          const row = at(context, cache);
          return row === undefined ? "–" : bothSizes(row.totalBytes);
        }),
      ]),
      [0, ...caches.map((_, column) => column + 1)],
    ),
    "",
    ...machines(table, caches),
  ].join("\n");
}

function machines(table: MemoryTable, caches: readonly string[]): string[] {
  const { fitting, tooSmall } = machineFits(table);
  const lines: string[] = [];
  if (fitting.length > 0) {
    lines.push(
      "Longest of these contexts that fits, by what a machine can really give to a model (1 GiB is left free):",
      "",
      markdownTable(
        ["machine", "for a model", ...caches.map((cache) => `${code(cache)} cache`)],
        fitting.map(({ machine, andLarger, longest }) => [
          escapeMarkdown(machine.name) + (andLarger ? " and larger" : ""),
          bothSizes(machine.availableBytes),
          ...longest.map((context) => (context === undefined ? "–" : String(context))),
        ]),
        [1, ...caches.map((_, column) => column + 2)],
      ),
      "",
      "What such machines give:",
      "",
      ...[...new Set(fitting.map(({ machine }) => machine.basis))].map(
        (basis) =>
          `- ${fitting
            .filter(({ machine }) => machine.basis === basis)
            .map(({ machine }) => escapeMarkdown(machine.name))
            .join(", ")}: ${escapeMarkdown(basis)}`,
      ),
    );
  }
  if (tooSmall.length > 0) {
    lines.push("", `It does not fit: ${tooSmall.map(escapeMarkdown).join(", ")}.`);
  }
  return lines;
}

function usage(evaluation: Evaluation): string {
  const file = shellWord(modelFile(evaluation));
  const context = usualContext(evaluation);
  return [
    "## Use",
    "",
    `With llama.cpp's server, or with Lopsided's, which runs the same library; both answer OpenAI's API.`,
    "",
    codeBlock(
      [`llama-server -m ${file} -c ${context} -ngl 99`, `npx lopsided serve ${file} -c ${context}`].join(
        "\n",
      ),
      "sh",
    ),
  ].join("\n");
}

function provenance(evaluation: Evaluation): string {
  const { source, calibration, evaluations = [], tasks: file, recipe, options, tools, files } = evaluation;
  const sums = source.sha256.map(code).join(", ");
  const license = [source.license, source.licenseName].filter((word) => word !== undefined).join(", ");
  const facts = [
    `source: ${code(source.given)}, ${escapeMarkdown(source.architecture)}, ${formatCount(source.parameters)} weights, ${bothSizes(source.bytes)}, ${source.bpw.toFixed(2)} bits per weight${license && `, license ${escapeMarkdown(license)}`}; SHA-256 ${sums}`,
    calibration &&
      `importance matrix: ${escapeMarkdown(textLine(calibration))}; SHA-256 of the text ${code(calibration.sha256)}. ${coverageLine(evaluation) ?? ""}`.trim(),
    ...evaluations.map(
      (text) => `evaluation: ${escapeMarkdown(textLine(text))}; SHA-256 of the text ${code(text.sha256)}`,
    ),
    file && `tasks: ${code(file.name)}; SHA-256 ${code(file.sha256)}`,
    `encoder: effort ${code(options.effort)}${options.moments ? ", with second moments of the inputs" : ""}${options.scales ? ", scales of the routed experts fitted afterwards" : ""}${options.priorWeight === undefined ? "" : `, prior weight of ${options.priorWeight} tokens`}`,
    `tools: Lopsided ${escapeMarkdown(tools.lopsided)}${tools.llamaCpp === undefined ? "" : `, llama.cpp ${escapeMarkdown(tools.llamaCpp)}`}, Node.js ${escapeMarkdown(tools.node)}`,
  ].filter((fact) => fact !== undefined);
  return [
    "## Provenance",
    "",
    ...facts.map((fact) => `- ${fact}`),
    "",
    markdownTable(
      ["file", "size", "SHA-256"],
      files.map(({ name, bytes, sha256 }) => [code(name), bothSizes(bytes), code(sha256)]),
      [1],
    ),
    "",
    "Made by",
    "",
    codeBlock(evaluation.command, "sh"),
    "",
    `with the recipe ${code(recipe.name)}:`,
    "",
    codeBlock(recipe.text, "yaml"),
  ].join("\n");
}

/** A file's name as the shell takes it. */
function shellWord(name: string): string {
  return /^[\w@%+=:,./-]+$/.test(name) && !name.startsWith("-")
    ? name
    : `'./${name.replaceAll("'", "'\\''")}'`;
}
