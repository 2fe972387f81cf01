/** Which share of the tasks the variants solve. */
import * as Plot from "@observablehq/plot";
import { type Chart, figure, isNarrow } from "../chart.js";
import { wideChart } from "../draw-chart.js";
import type { Evaluation, RecordedPassRate, Variant } from "../evaluation.js";
import { habitsTable, passRate, percent, taskKinds } from "../facts.js";
import { details, escapeHtml, htmlTable, pre } from "../html.js";
import type { Section } from "../section.js";

interface Rate extends RecordedPassRate {
  readonly variant: Variant;
  readonly share: number;
}

export function tasksSection(evaluation: Evaluation): Section | undefined {
  const { variants, tasks, checks = [] } = evaluation;
  const rates = variants.flatMap((variant) =>
    (variant.tasks ?? [])
      .filter(({ total }) => total > 0)
      .map((rate): Rate => ({ ...rate, variant, share: rate.passed / rate.total })),
  );
  if (rates.length === 0 && checks.length === 0) {
    return undefined;
  }
  const of = tasks === undefined ? "" : ` of ${tasks.name} (${tasks.count} tasks)`;
  return {
    id: "tasks",
    title: "Tasks solved",
    lead: `Chat tasks${of} with checkable answers; code is executed. The lines are 95 % intervals: where they overlap, the difference may be chance.`,
    body: (rates.length === 0 ? "" : ratesFigure(rates, variants)) + habits(variants) + answers(checks),
  };
}

/** What the answers are like beside right or wrong. */
function habits(variants: readonly Variant[]): string {
  const table = habitsTable(variants);
  return table === undefined
    ? ""
    : htmlTable("What the answers are like", table.head, table.rows, table.head.map((_, i) => i).slice(1));
}

function ratesFigure(rates: readonly Rate[], variants: readonly Variant[]): string {
  const kinds = taskKinds(variants);
  const checked = variants.filter((variant) => rates.some((rate) => rate.variant === variant));
  const description = `Share of tasks solved, by kind: ${rates.map((rate) => `${rate.kind}, ${rate.variant.label}: ${passRate(rate)}`).join("; ")}.`;
  const table = htmlTable(
    "Tasks solved, with 95 % intervals",
    ["kind", ...checked.map(({ label }) => label)],
    kinds.map((kind) => [
      kind,
      ...checked.map((variant) => {
        const rate = rates.find((candidate) => candidate.kind === kind && candidate.variant === variant);
        return rate === undefined ? "–" : passRate(rate);
      }),
    ]),
    checked.map((_, column) => column + 1),
  );
  return figure(wideChart(ratesChart(rates, kinds, checked, description)), "", table);
}

function ratesChart(
  rates: readonly Rate[],
  kinds: readonly string[],
  variants: readonly Variant[],
  description: string,
): Chart {
  const names = variants.map(({ label }) => label);
  const tip = (rate: Rate) =>
    `${rate.variant.label}, ${rate.kind}\n${percent(rate.share, 1)}: ${passRate(rate)}`;
  const colour = ({ variant }: Rate) => `var(--variant-${variant.id})`;
  return {
    description,
    draw: (width) => ({
      height: kinds.length * (names.length * 20 + 22) + 60,
      marginLeft: isNarrow(width) ? 100 : 150,
      marginTop: 4,
      marginBottom: 40,
      marginRight: 20,
      x: {
        domain: [0, 100],
        label: "solved, %",
        labelArrow: "none",
        labelAnchor: "center",
        tickSize: 0,
        ticks: 5,
      },
      y: { type: "band", domain: names, label: null, tickSize: 0, padding: 0 },
      fy: { domain: [...kinds], label: null, axis: null, padding: 0.16 },
      marks: [
        Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
        Plot.text([...kinds], {
          fy: (kind: string) => kind,
          text: (kind: string) => kind,
          frameAnchor: "top-left",
          dx: isNarrow(width) ? -94 : -144,
          dy: -12,
          textAnchor: "start",
          fontWeight: 600,
          fill: "var(--ink)",
        }),
        Plot.ruleY([...rates], {
          x1: ({ low }: Rate) => 100 * low,
          x2: ({ high }: Rate) => 100 * high,
          y: ({ variant }: Rate) => variant.label,
          fy: "kind",
          stroke: colour,
          strokeWidth: 2,
        }),
        Plot.dot([...rates], {
          x: ({ share }: Rate) => 100 * share,
          y: ({ variant }: Rate) => variant.label,
          fy: "kind",
          fill: colour,
          r: 5,
          title: tip,
        }),
      ],
    }),
  };
}

/** Answers in the report: what is beyond them is in evaluation.json. */
const mostAnswers = 60;

function answers(checks: NonNullable<Evaluation["checks"]>): string {
  if (checks.length === 0) {
    return "";
  }
  const items = checks
    .slice(0, mostAnswers)
    .map(
      ({ kind, prompt, answer, passed }) =>
        `<li class="${passed ? "passed" : "failed"}"><p><strong>${passed ? "passed" : "failed"}</strong> ${escapeHtml(kind)}: ${escapeHtml(prompt)}</p>${pre(answer)}</li>`,
    );
  const shown = checks.length > mostAnswers ? `, the first ${mostAnswers} of ${checks.length}` : "";
  return details(`Answers${shown}`, `<ol class="answers">${items.join("\n")}</ol>`);
}
