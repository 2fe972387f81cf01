/** The chart of a comparison: divergence on each text and on all of them, against size. */
import * as Plot from "@observablehq/plot";
import { unitFor } from "../report/chart.js";
import { standaloneChart } from "../report/draw-chart.js";
import type { CompareResult } from "./result.js";

interface Point {
  readonly name: string;
  readonly text: string;
  readonly bytes: number;
  readonly mean: number;
  readonly error: number;
}

/** An SVG file that needs nothing else. */
export function renderComparisonChart(result: CompareResult): string {
  const points = pointsOf(result);
  const texts = [...new Set(points.map(({ text }) => text))];
  const unit = unitFor(Math.max(...points.map(({ bytes }) => bytes)));
  const size = ({ bytes }: Point) => bytes / unit.size;
  const high = Math.max(...points.map(({ mean, error }) => mean + error));
  const sizes = points.map(size);
  const [left, right] = [Math.min(...sizes), Math.max(...sizes)];
  const room = 0.25 * (right - left || right);
  return standaloneChart({
    description: `Mean KL divergence from ${result.source.name} against size: ${points.map(({ name, text, mean }) => `${name} on ${text} ${mean.toFixed(5)}`).join("; ")}.`,
    draw: () => ({
      height: 60 + 150 * texts.length,
      marginLeft: 64,
      marginRight: 20,
      marginTop: 24,
      marginBottom: 44,
      x: {
        domain: [Math.max(0, left - room), right + room],
        label: `size, ${unit.name}`,
        labelArrow: "none",
        labelAnchor: "center",
        tickSize: 0,
        ticks: 5,
      },
      y: {
        domain: [0, 1.15 * high || 1],
        label: "KL divergence, mean, nats",
        labelArrow: "none",
        tickSize: 0,
        ticks: 3,
      },
      fy: { domain: texts, axis: null, padding: 0.2 },
      marks: [
        Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 3 }),
        Plot.ruleY([0], { stroke: "var(--line)" }),
        Plot.text(texts, {
          fy: (text: string) => text,
          text: (text: string) => text,
          frameAnchor: "top-right",
          dy: -10,
          fontWeight: 600,
          fill: "var(--ink)",
        }),
        Plot.ruleX(points, {
          x: size,
          y1: ({ mean, error }: Point) => mean - 1.96 * error,
          y2: ({ mean, error }: Point) => mean + 1.96 * error,
          fy: "text",
          stroke: "var(--series-1)",
          strokeWidth: 1.5,
        }),
        Plot.dot(points, { x: size, y: "mean", fy: "text", fill: "var(--series-1)", r: 4 }),
        Plot.text(points, {
          x: size,
          y: "mean",
          fy: "text",
          text: "name",
          dy: -14,
          fill: "var(--ink)",
          stroke: "var(--page)",
          strokeWidth: 3,
        }),
      ],
    }),
  });
}

function pointsOf({ models }: CompareResult): Point[] {
  return models.flatMap(({ name, bytes, texts, kld }) => {
    const point = (text: string, figures: typeof kld) =>
      figures ? [{ name, text, bytes, mean: figures.mean, error: figures.meanError }] : [];
    const all = texts.length > 1 ? point("all texts", kld) : [];
    return [...all, ...texts.flatMap((text) => point(text.name, text.kld))];
  });
}
