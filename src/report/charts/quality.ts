/** Perplexity and KL divergence of all variants against their size. */
import * as Plot from "@observablehq/plot";
import { type Chart, figure, unitFor } from "../chart.js";
import { halfChart } from "../draw-chart.js";
import type { Evaluation, Variant } from "../evaluation.js";
import { bothSizes, measurementMethod, measures, withError } from "../facts.js";
import { escapeHtml, htmlTable } from "../html.js";
import { placeLabels } from "../labels.js";
import type { Section } from "../section.js";

interface Point {
  readonly variant: Variant;
  readonly value: number;
  /** Standard error. */
  readonly error: number;
  /** Standard error of the difference from the source, which is smaller: both are surprised by the same tokens. */
  readonly pairedError?: number | undefined;
}

export function qualitySection(evaluation: Evaluation): Section | undefined {
  const measured = evaluation.variants.filter(({ measurement }) => measurement !== undefined);
  if (measured.length === 0) {
    return undefined;
  }
  const divergence = measured.flatMap((variant): Point[] => {
    const kld = variant.measurement?.kld;
    return kld === undefined ? [] : [{ variant, value: kld.mean, error: kld.meanError }];
  });
  const source = measured.find(({ id }) => id === "source")?.measurement?.ppl;
  const perplexity = measured.flatMap((variant): Point[] => {
    const { measurement } = variant;
    if (measurement === undefined) {
      return [];
    }
    const { ppl, pplError, pplRatioError } = measurement;
    const pairedError = pplRatioError && source && pplRatioError * source;
    return [{ variant, value: ppl, error: pplError, pairedError }];
  });
  const charts = [
    ...(divergence.length > 0
      ? [chart("KL divergence from the source, mean, nats", divergence, measured, 5, true)]
      : []),
    chart("perplexity", perplexity, measured, 4, false),
  ];
  return {
    id: "quality",
    title: "Quality against size",
    lead: "Lower is better in both. Lines are standard errors; the thick one, often hidden behind the point, is that of the difference from the source, which counts for a comparison. Perplexity alone can fall below the source's by chance.",
    body: figure(
      `<div class="halves">${charts.map((item) => `<div>${halfChart(item)}</div>`).join("")}</div><p class="note">${escapeHtml(measurementMethod(evaluation))}</p>`,
      "",
      qualityTable(measured),
    ),
  };
}

function qualityTable(measured: readonly Variant[]): string {
  const rows = measures
    .map(({ title, of }) => [
      title,
      ...measured.map(({ measurement }) => (measurement && of(measurement)) || "–"),
    ])
    .filter(([, ...cells]) => cells.some((cell) => cell !== "–"));
  const sizes = ["size", ...measured.map(({ bytes }) => bothSizes(bytes))];
  const bits = ["bits per weight", ...measured.map(({ bpw }) => bpw.toFixed(2))];
  const table = htmlTable(
    "Quality of all variants",
    ["", ...measured.map(({ label }) => label)],
    [sizes, bits, ...rows],
    measured.map((_, column) => column + 1),
  );
  return table + positionsTable(measured.filter(({ measurement }) => measurement?.kld));
}

/** What becomes of the divergence as the context gets long. */
function positionsTable(compared: readonly Variant[]): string {
  const ranges = compared[0]?.measurement?.byPosition ?? [];
  const kldAt = ({ measurement }: Variant, at: number) =>
    measurement?.byPosition?.[at]?.kld?.toFixed(6) ?? "–";
  return ranges.length === 0
    ? ""
    : htmlTable(
        "Mean KL divergence by the place in the chunk",
        ["tokens before", "scored tokens", ...compared.map(({ label }) => label)],
        ranges.map(({ from, to, positions }, at) => [
          `${from} to ${to - 1}`,
          String(positions),
          ...compared.map((variant) => kldAt(variant, at)),
        ]),
        [1, ...compared.map((_, column) => column + 2)],
      );
}

function chart(
  title: string,
  points: readonly Point[],
  all: readonly Variant[],
  digits: number,
  fromZero: boolean,
): Chart {
  const largest = Math.max(...all.map(({ bytes }) => bytes));
  const unit = unitFor(largest);
  const x = ({ variant }: Point) => variant.bytes / unit.size;
  const low = Math.min(...points.map(({ value, error }) => value - error));
  const high = Math.max(...points.map(({ value, error }) => value + error));
  const room = 0.18 * (high - low || high || 1);
  const tip = ({ variant, value, error }: Point) =>
    `${variant.label}\n${title} ${withError(value, error, digits)}\n${bothSizes(variant.bytes)}, ${variant.bpw.toFixed(2)} bits per weight`;
  return {
    description: `${title} against size, with standard errors: ${points.map(({ variant, value, error }) => `${variant.label} ${withError(value, error, digits)} at ${bothSizes(variant.bytes)}`).join("; ")}.`,
    draw: (width) => {
      const right = (1.08 * largest) / unit.size;
      const [bottom, top] = fromZero ? [0, high + room] : [low - room, high + room];
      const area = {
        width: width - margins.left - margins.right,
        height: height - margins.top - margins.bottom,
      };
      const labels = placeLabels(
        points.map((point) => ({
          text: point.variant.label,
          x: (x(point) / right) * area.width,
          y: ((top - point.value) / (top - bottom)) * area.height,
        })),
        area,
      );
      return {
        height,
        marginLeft: margins.left,
        marginTop: margins.top,
        marginBottom: margins.bottom,
        marginRight: margins.right,
        x: {
          domain: [0, right],
          label: `size, ${unit.name}`,
          labelArrow: "none",
          labelAnchor: "center",
          tickSize: 0,
          ticks: 5,
        },
        y: { domain: [bottom, top], label: title, labelArrow: "none", tickSize: 0, ticks: 5 },
        marks: [
          Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
          errorBars(points, x, ({ error }) => error, 1.5),
          errorBars(points, x, ({ pairedError = 0 }) => pairedError, 5),
          Plot.dot([...points], {
            x,
            y: "value",
            symbol: ({ variant }: Point) => symbols[variant.id],
            fill: colour,
            r: 5,
            title: tip,
          }),
          ...points.map((point, i) =>
            Plot.text([point], {
              x,
              y: "value",
              text: ({ variant }: Point) => variant.label,
              textAnchor: labels[i]?.anchor ?? "start",
              dx: labels[i]?.dx ?? 0,
              dy: labels[i]?.dy ?? 0,
              fontWeight: point.variant.id === "quantized" ? 700 : 400,
              stroke: "var(--page)",
              strokeWidth: 4,
              fill: "var(--ink)",
              pointerEvents: "none",
            }),
          ),
        ],
      };
    },
  };
}

const height = 260;
const margins = { left: 60, right: 16, top: 28, bottom: 40 };

function errorBars(
  points: readonly Point[],
  x: (point: Point) => number,
  errorOf: (point: Point) => number,
  strokeWidth: number,
): Plot.Markish {
  return Plot.ruleX(
    points.filter((point) => errorOf(point) > 0),
    {
      x,
      y1: (point: Point) => point.value - errorOf(point),
      y2: (point: Point) => point.value + errorOf(point),
      stroke: colour,
      strokeWidth,
    },
  );
}

const symbols: Readonly<Record<Variant["id"], string>> = {
  source: "square",
  quantized: "circle",
  baseline: "triangle",
  other: "diamond",
};

function colour({ variant }: Point): string {
  return `var(--variant-${variant.id})`;
}
