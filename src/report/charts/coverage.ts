/** How many tokens of the calibration text the experts saw. */
import * as Plot from "@observablehq/plot";
import { thinExpertTokens } from "../../imatrix/rare-experts.js";
import { layerOf } from "../../model/roles.js";
import { type Chart, figure, isNarrow, layerTicks } from "../chart.js";
import { wideChart } from "../draw-chart.js";
import type { Evaluation } from "../evaluation.js";
import { perDimensionLine } from "../facts.js";
import { htmlTable } from "../html.js";
import type { Section } from "../section.js";

interface LayerCoverage {
  readonly layer: number;
  readonly experts: number;
  readonly unseen: number;
  readonly fewest: number;
  readonly quarter: number;
  readonly median: number;
  readonly threeQuarters: number;
  readonly most: number;
}

export function coverageSection(evaluation: Evaluation): Section | undefined {
  const layers = coverageByLayer(evaluation);
  if (layers.length === 0) {
    return undefined;
  }
  const fewest = Math.min(...layers.map((layer) => layer.fewest));
  const most = Math.max(...layers.map((layer) => layer.most));
  const unseen = layers.reduce((sum, layer) => sum + layer.unseen, 0);
  const description = `Tokens that the experts of each layer saw: ${fewest} to ${most}; ${unseen} experts saw none. The table below has the values.`;
  const table = htmlTable(
    "Tokens per expert by layer",
    ["layer", "experts", "unseen", "fewest", "25 %", "median", "75 %", "most"],
    layers.map((layer) =>
      [
        layer.layer,
        layer.experts,
        layer.unseen,
        layer.fewest,
        layer.quarter,
        layer.median,
        layer.threeQuarters,
        layer.most,
      ].map(String),
    ),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
  return {
    id: "experts",
    title: "Experts in the calibration text",
    lead: `Tokens that a layer's experts saw: the line from the least to the most visited one, the bar around the middle half, the gap at the median. The dashed line marks ${thinExpertTokens} tokens; statistics from fewer are guesswork.${unseen > 0 ? ` ${unseen} experts saw no token: their line begins at the bottom.` : ""} ${perDimensionLine(evaluation.coverage ?? []) ?? ""}`.trimEnd(),
    body: figure(wideChart(coverageChart(layers, description)), "", table),
  };
}

/** The tensors of a layer's experts see the same tokens; the one with the fewest stands for the layer. */
function coverageByLayer({ coverage = [] }: Evaluation): LayerCoverage[] {
  const layers = new Map<number, LayerCoverage>();
  for (const { tensor, experts, unseen, fewest, most, tokens } of coverage) {
    const layer = layerOf(tensor);
    if (layer === undefined || (layers.get(layer)?.fewest ?? Infinity) <= fewest) {
      continue;
    }
    const sorted = [...tokens].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? fewest;
    layers.set(layer, {
      layer,
      experts,
      unseen,
      fewest,
      quarter: at(0.25),
      median: at(0.5),
      threeQuarters: at(0.75),
      most,
    });
  }
  return [...layers.values()].sort((a, b) => a.layer - b.layer);
}

/** Width of a bar in pixels. */
const widestBar = 24;

function coverageChart(data: readonly LayerCoverage[], description: string): Chart {
  const layers = data.map(({ layer }) => layer);
  const most = Math.max(...data.map((layer) => layer.most), 2 * thinExpertTokens);
  const seen = data.map(({ fewest }) => fewest).filter((count) => count > 0);
  const bottom = 10 ** Math.floor(Math.log10(Math.min(thinExpertTokens / 2, ...seen)));
  const powers = Array.from({ length: 12 }, (_, i) => bottom * 10 ** i).filter(
    (power) => power <= 1.1 * most,
  );
  const clamp = (count: number) => Math.max(count, bottom);
  const tip = (layer: LayerCoverage) =>
    `layer ${layer.layer}, ${layer.experts} experts\nfewest ${layer.fewest}, median ${layer.median}, most ${layer.most} tokens${layer.unseen > 0 ? `\n${layer.unseen} saw none` : ""}`;
  return {
    description,
    draw: (width) => {
      const narrow = isNarrow(width);
      const marginLeft = 56;
      const step = (width - marginLeft - 16) / layers.length;
      const inset = Math.max(0, (0.8 * step - widestBar) / 2);
      return {
        height: narrow ? 240 : 280,
        marginLeft,
        marginTop: 24,
        marginBottom: 40,
        x: {
          type: "band",
          domain: layers,
          padding: 0.2,
          round: false,
          ticks: layerTicks(layers, narrow ? 8 : 16),
          label: "layer",
          labelArrow: "none",
          labelAnchor: "center",
          tickSize: 0,
        },
        y: {
          type: "log",
          domain: [bottom, 1.1 * most],
          label: "tokens",
          labelArrow: "none",
          tickSize: 0,
          ticks: powers,
          tickFormat: (count: number) => count.toLocaleString("en"),
        },
        marks: [
          Plot.gridY(powers, { stroke: "var(--line)", strokeOpacity: 1 }),
          Plot.ruleY([thinExpertTokens], { stroke: "var(--warn)", strokeDasharray: "4 3" }),
          Plot.ruleX([...data], {
            x: "layer",
            y1: (layer: LayerCoverage) => clamp(layer.fewest),
            y2: "most",
            stroke: "var(--series-1)",
            strokeWidth: 1.5,
          }),
          Plot.barY([...data], {
            x: "layer",
            y1: (layer: LayerCoverage) => clamp(layer.quarter),
            y2: (layer: LayerCoverage) => clamp(layer.threeQuarters),
            fill: "var(--series-1)",
            insetLeft: inset,
            insetRight: inset,
          }),
          Plot.tickY([...data], {
            x: "layer",
            y: (layer: LayerCoverage) => clamp(layer.median),
            stroke: "var(--page)",
            strokeWidth: 2,
            insetLeft: inset,
            insetRight: inset,
          }),
          Plot.ruleX([...data], {
            x: "layer",
            y1: bottom,
            y2: "most",
            stroke: "transparent",
            strokeWidth: step,
            title: tip,
          }),
        ],
      };
    },
  };
}
