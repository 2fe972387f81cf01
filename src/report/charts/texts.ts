/** The mean KL divergence of all variants on each evaluation text. */
import * as Plot from "@observablehq/plot";
import { type Chart, figure, isNarrow } from "../chart.js";
import { wideChart } from "../draw-chart.js";
import type { Evaluation, Variant } from "../evaluation.js";
import { withError } from "../facts.js";
import { htmlTable } from "../html.js";
import type { Section } from "../section.js";
import { textsMethod, textsTable, variantsByText, worstOf } from "../texts.js";

interface Point {
  readonly variant: Variant;
  readonly text: string;
  readonly mean: number;
  readonly error: number;
}

/** Undefined unless the models were compared on several texts. */
export function textsSection(evaluation: Evaluation): Section | undefined {
  const variants = variantsByText(evaluation);
  const quantized = variants.find(({ id }) => id === "quantized");
  const worst = worstOf(quantized);
  if (quantized === undefined || worst === undefined) {
    return undefined;
  }
  const points = variants.flatMap((variant) =>
    (variant.measurement?.texts ?? []).flatMap(({ name, kld }): Point[] =>
      kld === undefined ? [] : [{ variant, text: name, mean: kld.mean, error: kld.meanError }],
    ),
  );
  const { head, rows } = textsTable(evaluation);
  const right = head.map((_, column) => column).slice(1);
  return {
    id: "texts",
    title: "By kind of text",
    lead: `One mean hides what a model is worst at: here ${worst.name}. ${textsMethod}`,
    body: figure(wideChart(chart(points)), "", htmlTable("Divergence on each text", head, rows, right)),
  };
}

function chart(points: readonly Point[]): Chart {
  const texts = [...new Set(points.map(({ text }) => text))];
  const names = [...new Set(points.map(({ variant }) => variant.label))];
  const high = Math.max(...points.map(({ mean, error }) => mean + error));
  const tip = ({ variant, text, mean, error }: Point) =>
    `${variant.label}, ${text}\nKLD ${withError(mean, error, 6)}`;
  const colour = ({ variant }: Point) => `var(--variant-${variant.id})`;
  return {
    description: `Mean KL divergence by text: ${points.map((point) => tip(point).replace("\n", ": ")).join("; ")}.`,
    draw: (width) => ({
      height: texts.length * (names.length * 20 + 22) + 60,
      marginLeft: isNarrow(width) ? 100 : 190,
      marginTop: 4,
      marginBottom: 40,
      marginRight: 20,
      x: {
        domain: [0, 1.05 * high || 1],
        label: "KL divergence from the source, mean, nats",
        labelArrow: "none",
        labelAnchor: "center",
        tickSize: 0,
        ticks: 5,
      },
      y: { type: "band", domain: names, label: null, tickSize: 0, padding: 0 },
      fy: { domain: texts, label: null, axis: null, padding: 0.16 },
      marks: [
        Plot.gridX({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
        Plot.text(texts, {
          fy: (text: string) => text,
          text: (text: string) => text,
          frameAnchor: "top-left",
          dx: isNarrow(width) ? -94 : -184,
          dy: -12,
          textAnchor: "start",
          fontWeight: 600,
          fill: "var(--ink)",
        }),
        Plot.ruleY([...points], {
          x1: ({ mean, error }: Point) => mean - error,
          x2: ({ mean, error }: Point) => mean + error,
          y: ({ variant }: Point) => variant.label,
          fy: "text",
          stroke: colour,
          strokeWidth: 2,
        }),
        Plot.dot([...points], {
          x: "mean",
          y: ({ variant }: Point) => variant.label,
          fy: "text",
          fill: colour,
          r: 5,
          title: tip,
        }),
      ],
    }),
  };
}
