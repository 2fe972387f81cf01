/** Memory against context. */
import * as Plot from "@observablehq/plot";
import { type Chart, figure, isNarrow, unitFor } from "../chart.js";
import { wideChart } from "../draw-chart.js";
import type { Evaluation, MemoryTable } from "../evaluation.js";
import { bothSizes, cacheName, machineFits, memoryGrid } from "../facts.js";
import { htmlTable } from "../html.js";
import type { Section } from "../section.js";

type Row = MemoryTable["rows"][number];

/** A horizontal line: what a machine has, or a budget. */
interface Level {
  readonly label: string;
  readonly bytes: number;
}

export function memorySection(evaluation: Evaluation): Section | undefined {
  const { memory, tools } = evaluation;
  if (memory === undefined || memory.rows.length === 0) {
    return undefined;
  }
  const { caches, contexts, at } = memoryGrid(memory);
  const largest = Math.max(...memory.rows.map(({ totalBytes }) => totalBytes));
  const smallest = Math.min(...memory.rows.map(({ totalBytes }) => totalBytes));
  const description = `Memory for one conversation by context, with a line for each type of KV cache (${caches.join(", ")}): from ${bothSizes(smallest)} to ${bothSizes(largest)}. The tables below have the values.`;
  const table = htmlTable(
    "Memory by context and type of the cache",
    ["context", ...caches],
    contexts.map((context) => [
      String(context),
      ...caches.map((cache) => {
        const row = at(context, cache);
        return row === undefined ? "–" : bothSizes(row.totalBytes);
      }),
    ]),
    [0, ...caches.map((_, column) => column + 1)],
  );
  const asked = memory.source === "llama.cpp" ? `llama.cpp ${tools.llamaCpp ?? ""}` : "Lopsided's formulas";
  return {
    id: "memory",
    title: "Memory against context",
    lead: `Weights, KV cache and compute buffers for one conversation, as computed by ${asked.trim()}. Dashed lines: what machines can really give to a model, 1 GiB left free.`,
    body: `${figure(wideChart(memoryChart(evaluation, memory, description)), "", table)}${fitsTable(memory, caches)}`,
  };
}

function fitsTable(memory: MemoryTable, caches: readonly string[]): string {
  const { fitting, tooSmall } = machineFits(memory);
  const rows = fitting.map(({ machine, andLarger, longest }) => [
    `${machine.name}${andLarger ? " and larger" : ""}`,
    bothSizes(machine.availableBytes),
    ...longest.map((context) => (context === undefined ? "–" : String(context))),
  ]);
  const none = tooSmall.map((name) => [name, "–", ...caches.map(() => "–")]);
  return htmlTable(
    "Longest of these contexts that fits",
    ["machine", "for a model", ...caches.map((cache) => `${cache} cache`)],
    [...rows, ...none],
    [1, ...caches.map((_, column) => column + 2)],
  );
}

function memoryChart(evaluation: Evaluation, memory: MemoryTable, description: string): Chart {
  const { caches, contexts } = memoryGrid(memory);
  const top = 1.04 * Math.max(...memory.rows.map(({ totalBytes }) => totalBytes));
  const weights = memory.rows[0]?.weightsBytes ?? 0;
  const unit = unitFor(top);
  const levels = levelsUpTo(evaluation, memory, top);
  const longest = contexts.at(-1) ?? 1;
  const ends = endLabels(
    memory.rows.filter(({ context }) => context === longest),
    top,
  );
  const tip = (row: Row) =>
    `${row.context} tokens, ${cacheName(row)} cache\n${bothSizes(row.totalBytes)} together\nweights ${bothSizes(row.weightsBytes)}\nKV cache ${bothSizes(row.kvBytes)}\ncompute ${bothSizes(row.computeBytes)}`;
  return {
    description,
    draw: (width) => {
      const narrow = isNarrow(width);
      const colour = (row: Row) => `var(--series-${1 + caches.indexOf(cacheName(row))})`;
      return {
        height: narrow ? 300 : 340,
        marginLeft: 48,
        marginTop: 24,
        marginBottom: 40,
        marginRight: narrow ? 48 : 64,
        x: {
          type: "log",
          base: 2,
          domain: [contexts[0] ?? 1, longest],
          ticks: narrow && contexts.length > 5 ? contexts.filter((_, i) => i % 2 === 0) : contexts,
          tickFormat: contextLabel,
          label: "tokens of context",
          labelArrow: "none",
          labelAnchor: "center",
          tickSize: 0,
        },
        y: {
          domain: [0, top / unit.size],
          label: unit.name,
          labelArrow: "none",
          tickSize: 0,
          ticks: 6,
        },
        marks: [
          Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1 }),
          Plot.ruleY([weights / unit.size], { stroke: "var(--muted)" }),
          Plot.text([0], {
            x: contexts[0] ?? 1,
            y: weights / unit.size,
            text: ["weights"],
            textAnchor: "start",
            dx: 4,
            dy: 9,
            fill: "var(--muted)",
          }),
          Plot.ruleY(levels, {
            y: ({ bytes }: Level) => bytes / unit.size,
            stroke: "var(--warn)",
            strokeDasharray: "4 3",
          }),
          Plot.text(merged(levels, top), {
            x: contexts[0] ?? 1,
            y: ({ bytes }: Level) => bytes / unit.size,
            text: "label",
            textAnchor: "start",
            dx: 4,
            dy: -7,
            fill: "var(--ink)",
            stroke: "var(--page)",
            strokeWidth: 3,
          }),
          Plot.line([...memory.rows], {
            x: "context",
            y: ({ totalBytes }: Row) => totalBytes / unit.size,
            z: cacheName,
            stroke: colour,
            strokeWidth: 2,
          }),
          Plot.dot([...memory.rows], {
            x: "context",
            y: ({ totalBytes }: Row) => totalBytes / unit.size,
            fill: colour,
            r: 4,
            title: tip,
          }),
          Plot.text(ends, {
            x: longest,
            y: ({ place }: EndLabel) => place / unit.size,
            text: ({ row }: EndLabel) => cacheName(row),
            fill: ({ row }: EndLabel) => colour(row),
            textAnchor: "start",
            dx: 9,
            fontWeight: 600,
          }),
        ],
      };
    },
  };
}

/** Lines in the picture: machines with a graphics processor that have some of it, and the budget of the plan. */
function levelsUpTo({ recipe }: Evaluation, { machines, rows }: MemoryTable, top: number): Level[] {
  const least = Math.min(...rows.map(({ totalBytes }) => totalBytes));
  const levels = machines
    .filter(({ name }) => / (GPU|Mac)$/.test(name))
    .map(({ name, availableBytes }) => ({ label: name, bytes: availableBytes }));
  const budget =
    recipe.plan === undefined ? [] : [{ label: "budget for the weights", bytes: recipe.plan.budget.bytes }];
  return [...levels, ...budget]
    .filter(({ bytes }) => bytes >= least && bytes <= top)
    .sort((a, b) => a.bytes - b.bytes);
}

/** Labels of lines that are too near to one another are written as one, at the highest. */
function merged(levels: readonly Level[], top: number): Level[] {
  const labels: Level[] = [];
  for (const level of levels) {
    const last = labels.at(-1);
    if (last !== undefined && level.bytes - last.bytes < 0.05 * top) {
      labels[labels.length - 1] = { label: `${last.label}, ${level.label}`, bytes: level.bytes };
    } else {
      labels.push(level);
    }
  }
  return labels;
}

interface EndLabel {
  readonly row: Row;
  /** Where the label is, in bytes: its line's end, or a little above the one below. */
  readonly place: number;
}

function endLabels(rows: readonly Row[], top: number): EndLabel[] {
  const labels: EndLabel[] = [];
  for (const row of [...rows].sort((a, b) => a.totalBytes - b.totalBytes)) {
    const below = labels.at(-1)?.place ?? -Infinity;
    labels.push({ row, place: Math.max(row.totalBytes, below + 0.055 * top) });
  }
  return labels;
}

/** `16k` for 16384. */
function contextLabel(context: number): string {
  return context >= 1024 && context % 1024 === 0 ? `${context / 1024}k` : String(context);
}
