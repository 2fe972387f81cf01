/** The charts of the explorer, drawn by Observable Plot in colours that the page's style defines. */
import * as Plot from "@observablehq/plot";
import { layerOf, roleOf } from "../../model/roles.js";
import { bitsPerWeight, type TypeName } from "../../quants/types.js";
import type { Chart } from "../../report/chart.js";
import { type LayerCell, layerMap, rampSteps } from "../../report/charts/layer-map.js";
import { formatBytes } from "../../units.js";
import type { BudgetAnswer, Explorer } from "../explorer.js";
import type { Reference } from "../references.js";

/** Draws a chart into an element, as wide as it is. */
export function draw(place: HTMLElement, { description, draw: optionsFor }: Chart): void {
  const width = Math.max(280, Math.floor(place.clientWidth));
  // In a document of its own, whose styles are not applied: the page's policy allows no others than its own.
  const elsewhere = document.implementation.createHTMLDocument("");
  const options = { marginRight: 16, ...optionsFor(width), document: elsewhere, width };
  const svg = Plot.plot(options as Plot.PlotOptions) as unknown as SVGSVGElement;
  for (const style of svg.querySelectorAll("style")) {
    style.remove();
  }
  for (const styled of [svg, ...svg.querySelectorAll("[style]")]) {
    styled.removeAttribute("style");
  }
  for (const group of svg.querySelectorAll("g")) {
    group.removeAttribute("aria-label");
  }
  svg.setAttribute("font-size", "12");
  svg.setAttribute("class", "chart");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", description);
  place.replaceChildren(document.adoptNode(svg));
}

/** How divergences are written: three digits, never as a power. */
export function divergence(nats: number): string {
  if (nats >= 0.1) {
    return nats.toFixed(2);
  }
  return nats >= 0.0001 ? `${Number(nats.toPrecision(2))}` : nats > 0 ? "below 0.0001" : "0";
}

/** The least divergence that the logarithmic axis shows. */
const leastShown = 1e-4;

/** Predicted divergence against size, for all budgets. */
export function curveChart(
  explorer: Explorer,
  points: readonly Reference[],
  answer: BudgetAnswer | undefined,
): Chart {
  const curve = explorer.curve().map(({ bytes, predicted }) => ({
    gigabytes: bytes / 1e9,
    predicted: Math.max(predicted, leastShown),
  }));
  const shown = points.map((point) => ({
    ...point,
    gigabytes: point.bytes / 1e9,
    predicted: Math.max(point.predicted, leastShown),
  }));
  const chosen = answer && {
    gigabytes: answer.bytes / 1e9,
    predicted: Math.max(answer.predicted, leastShown),
  };
  const [first] = curve;
  const largest = curve.findLast(({ predicted }) => predicted > leastShown)?.gigabytes ?? 1;
  const right = Math.max(1.04 * largest, chosen?.gigabytes ?? 0);
  const highest = Math.max(
    ...curve.map(({ predicted }) => predicted),
    ...shown.map(({ predicted }) => predicted),
  );
  return {
    description: `Predicted divergence against the size of the file: from ${divergence(first?.predicted ?? 0)} nats at ${first?.gigabytes.toFixed(1)} GB downwards.${
      answer === undefined
        ? ""
        : ` The chosen file has ${formatBytes(answer.bytes)} and ${divergence(answer.predicted)} nats.`
    } ${shown.map(({ name, bytes, predicted }) => `${name}: ${formatBytes(bytes)}, ${divergence(predicted)} nats`).join("; ")}.`,
    draw: (width) => ({
      height: width < 500 ? 300 : 340,
      marginLeft: 52,
      marginTop: 30,
      marginBottom: 42,
      marginRight: 20,
      x: {
        domain: [Math.max(0, (first?.gigabytes ?? 0) * 0.92), right],
        label: "size of the file, GB",
        labelArrow: "none",
        labelAnchor: "center",
        tickSize: 0,
        ticks: width < 500 ? 5 : 8,
      },
      y: {
        type: "log",
        domain: [leastShown, 1.3 * highest],
        label: "predicted divergence, nats (lower is better)",
        labelArrow: "none",
        tickSize: 0,
        ticks: 4,
        tickFormat: (nats: number) => `${Number(nats.toPrecision(1))}`,
      },
      marks: [
        Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 4 }),
        Plot.line(curve, {
          x: "gigabytes",
          y: "predicted",
          stroke: "var(--series-1)",
          strokeWidth: 2.5,
          clip: true,
        }),
        Plot.dot(
          shown.filter(({ gigabytes }) => gigabytes <= right),
          {
            x: "gigabytes",
            y: "predicted",
            symbol: ({ kind }: Reference) => (kind === "mixture" ? "triangle" : "diamond"),
            fill: ({ kind }: Reference) => (kind === "mixture" ? "var(--series-2)" : "var(--series-3)"),
            r: 4.5,
          },
        ),
        Plot.text(
          shown.filter(({ gigabytes }) => gigabytes <= right),
          {
            x: "gigabytes",
            y: "predicted",
            text: "name",
            textAnchor: "start",
            dx: 8,
            dy: -7,
            fill: "var(--muted)",
            stroke: "var(--page)",
            strokeWidth: 3,
            fontSize: width < 500 ? 10 : 11.5,
          },
        ),
        ...(chosen === undefined
          ? []
          : [
              Plot.ruleX([chosen], {
                x: "gigabytes",
                stroke: "var(--ink)",
                strokeDasharray: "3 4",
                strokeOpacity: 0.6,
              }),
              Plot.dot([chosen], {
                x: "gigabytes",
                y: "predicted",
                r: 7,
                fill: "var(--series-1)",
                stroke: "var(--page)",
                strokeWidth: 2.5,
              }),
            ]),
      ],
    }),
  };
}

/** A tensor that lies in a layer, with its type. */
export interface PlacedTensor {
  readonly name: string;
  readonly layer: number;
  readonly role: string;
  readonly type: TypeName;
}

/** Tensors of roles that are quantized somewhere, in layers. */
export function placedTensors({ model }: Explorer, types: ReadonlyMap<string, TypeName>): PlacedTensor[] {
  const placed = model.tensors.flatMap(({ name, type }) => {
    const layer = layerOf(name);
    return layer === undefined ? [] : [{ name, layer, role: roleOf(name), type: types.get(name) ?? type }];
  });
  const plain = new Set(["F32", "F16", "BF16"]);
  const quantized = new Set(placed.filter(({ type }) => !plain.has(type)).map(({ role }) => role));
  return placed.filter(({ role }) => quantized.has(role));
}

/** Step of the ramp for a type: by bits, so that a colour means the same at every budget. */
export function rampStep(type: TypeName): number {
  const bits = Math.log2(bitsPerWeight(type) / 2) / Math.log2(4.5);
  return Math.min(rampSteps - 1, Math.max(0, Math.round(bits * (rampSteps - 1))));
}

/** Which type each tensor has, by layer and role. */
export function bitsChart(tensors: readonly PlacedTensor[]): Chart {
  const cells = tensors.map(
    ({ name, layer, role, type }): LayerCell => ({
      layer,
      role,
      step: rampStep(type),
      text: type,
      tip: `${name}: ${type}, ${bitsPerWeight(type).toFixed(2)} bits per weight`,
    }),
  );
  const types = [...new Set(tensors.map(({ type }) => type))];
  return layerMap(
    cells,
    "blue",
    `Map of ${tensors.length} tensors by layer and role, coloured by type: ${types.join(", ")}. The table below has the types.`,
  );
}
