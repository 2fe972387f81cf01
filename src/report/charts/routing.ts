/** How often the routers of each layer choose the same experts as the source's. */
import * as Plot from "@observablehq/plot";
import { leastShare, type RoutingOfLayer } from "../../evaluate/routing.js";
import { type Chart, figure, isNarrow, layerTicks, legend } from "../chart.js";
import { wideChart } from "../draw-chart.js";
import type { Evaluation, Variant } from "../evaluation.js";
import { percent } from "../facts.js";
import { htmlTable } from "../html.js";
import type { Section } from "../section.js";

interface Point {
  readonly variant: Variant;
  readonly of: RoutingOfLayer;
}

/** Undefined for models without experts, and where nothing was compared. */
export function routingSection({ variants }: Evaluation): Section | undefined {
  const routed = variants.filter(({ measurement }) => (measurement?.routing?.length ?? 0) > 0);
  const quantized = routed.find(({ id }) => id === "quantized");
  const lowest = leastShare(quantized?.measurement?.routing ?? []);
  if (quantized === undefined || lowest === undefined) {
    return undefined;
  }
  const floor = quantized.measurement?.floor?.sameExperts;
  const points = routed.flatMap((variant): Point[] =>
    (variant.measurement?.routing ?? []).map((of) => ({ variant, of })),
  );
  const key = legend(routed.map(({ id, label }) => ({ swatch: `variant-${id}`, label })));
  const ofFloor =
    floor === undefined ? "" : ` The dashed line is the source beside itself: ${percent(floor)} on average.`;
  return {
    id: "routing",
    title: "Routing",
    lead: `Share of tokens that are sent to the same experts as in the source. Where it falls, bits are missing in the layers before: it is lowest in layer ${lowest.layer}, ${percent(lowest.sameExperts)}.${ofFloor}`,
    body: figure(wideChart(chart(points, floor)), key, table(routed)),
  };
}

function table(variants: readonly Variant[]): string {
  const layersOf = ({ measurement }: Variant) => measurement?.routing ?? [];
  const layers = [...new Set(variants.flatMap((variant) => layersOf(variant).map(({ layer }) => layer)))];
  const cells = (variant: Variant, layer: number) => {
    const found = layersOf(variant).find((of) => of.layer === layer);
    return found === undefined
      ? ["–", "–", "–"]
      : [
          percent(found.sameExperts),
          percent(found.sharedExperts),
          found.movedProbability === undefined ? "–" : percent(found.movedProbability),
        ];
  };
  const head = variants.flatMap(({ label }) => [
    `${label}: same experts`,
    "shared experts",
    "moved probability",
  ]);
  return htmlTable(
    "Routers beside the source's",
    ["layer", ...head],
    layers.map((layer) => [String(layer), ...variants.flatMap((variant) => cells(variant, layer))]),
    ["layer", ...head].map((_, column) => column),
  );
}

function chart(points: readonly Point[], floor: number | undefined): Chart {
  const layers = [...new Set(points.map(({ of }) => of.layer))].sort((a, b) => a - b);
  const lowest = Math.min(...points.map(({ of }) => of.sameExperts));
  const colour = ({ variant }: Point) => `var(--variant-${variant.id})`;
  const tip = ({ variant, of }: Point) =>
    `${variant.label}, layer ${of.layer}\nsame experts for ${percent(of.sameExperts)} of the tokens${of.movedProbability === undefined ? "" : `\n${percent(of.movedProbability)} of the probability moved`}`;
  return {
    description: `Share of tokens with the same experts, by layer: ${points.map(({ variant, of }) => `${variant.label}, layer ${of.layer}: ${percent(of.sameExperts)}`).join("; ")}.`,
    draw: (width) => ({
      height: isNarrow(width) ? 220 : 260,
      marginLeft: 56,
      marginTop: 24,
      marginBottom: 40,
      x: {
        type: "point",
        domain: layers,
        padding: 0.5,
        ticks: layerTicks(layers, isNarrow(width) ? 8 : 16),
        label: "layer",
        labelArrow: "none",
        labelAnchor: "center",
        tickSize: 0,
      },
      y: {
        domain: [Math.floor(10 * lowest) * 10, 100],
        label: "same experts, %",
        labelArrow: "none",
        tickSize: 0,
        ticks: 5,
      },
      marks: [
        Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 5 }),
        ...(floor === undefined
          ? []
          : [Plot.ruleY([100 * floor], { stroke: "var(--warn)", strokeDasharray: "4 3" })]),
        Plot.line([...points], {
          x: ({ of }: Point) => of.layer,
          y: ({ of }: Point) => 100 * of.sameExperts,
          z: ({ variant }: Point) => variant.id,
          stroke: colour,
          strokeWidth: 1.5,
        }),
        Plot.dot([...points], {
          x: ({ of }: Point) => of.layer,
          y: ({ of }: Point) => 100 * of.sameExperts,
          fill: colour,
          r: 4,
          title: tip,
        }),
      ],
    }),
  };
}
