/** Predicted divergence against size: the curve of all budgets, what people know beside it, and the chosen budget on it. */
import * as Plot from "@observablehq/plot";
import type { Chart } from "../../report/chart.js";
import { formatBytes } from "../../units.js";
import type { BudgetAnswer, Explorer } from "../explorer.js";
import type { Reference } from "../references.js";
import { type Drawn, divergence, draw, widthOf } from "./draw.js";
import { svgElement } from "./elements.js";

/** The least divergence that the logarithmic axis shows, unless that is most of what there is to see. */
const usuallyLeast = 1e-4;

/** A place in the chart. */
interface Place {
  readonly gigabytes: number;
  readonly predicted: number;
}

const symbols: Readonly<Record<Reference["kind"], { symbol: string; fill: string }>> = {
  mixture: { symbol: "triangle", fill: "var(--series-2)" },
  preset: { symbol: "diamond", fill: "var(--series-3)" },
  made: { symbol: "star", fill: "var(--series-4)" },
};

/** The chart of one model under settings. It is drawn once; only the chosen budget moves. */
export class CurveChart {
  readonly #element: HTMLElement;
  readonly #points: readonly Reference[];
  readonly #curve: readonly Place[];
  /** Divergence at the foot of the axis. */
  readonly #least: number;
  /** Where the axis ends: usually where nothing is lost that could be seen, for larger files with the curve. */
  readonly #usualRight: number;
  readonly #widestRight: number;
  #drawn: { readonly svg: Drawn; readonly mark: SVGGElement; readonly right: number } | undefined;

  constructor(element: HTMLElement, explorer: Explorer, points: readonly Reference[]) {
    this.#element = element;
    this.#points = points;
    const curve = explorer.curve();
    this.#least = Math.min(usuallyLeast, (curve[0]?.predicted ?? 1) / 1000);
    this.#curve = curve.map((point) => this.#placeOf(point));
    const largest = this.#curve.findLast(({ predicted }) => predicted > this.#least)?.gigabytes ?? 1;
    this.#usualRight = 1.04 * largest;
    this.#widestRight = 1.04 * Math.max(largest, this.#curve.at(-1)?.gigabytes ?? 0);
  }

  /** Shows the budget that was chosen; none if nothing fits. */
  choose(answer: BudgetAnswer | undefined): void {
    const chosen = answer && this.#placeOf(answer);
    const isBeyond = chosen !== undefined && chosen.gigabytes > this.#usualRight;
    const right = isBeyond ? this.#widestRight : this.#usualRight;
    if (this.#drawn?.right !== right) {
      this.#drawn = this.#draw(right);
    }
    const { svg, mark } = this.#drawn;
    mark.toggleAttribute("hidden", chosen === undefined);
    if (chosen !== undefined) {
      mark.setAttribute("transform", `translate(${svg.scale("x")?.apply(chosen.gigabytes)} 0)`);
      mark.lastElementChild?.setAttribute("cy", `${svg.scale("y")?.apply(chosen.predicted)}`);
    }
    svg.setAttribute("aria-label", this.#description(answer));
  }

  #placeOf({ bytes, predicted }: { readonly bytes: number; readonly predicted: number }): Place {
    return { gigabytes: bytes / 1e9, predicted: Math.max(predicted, this.#least) };
  }

  #draw(right: number): { svg: Drawn; mark: SVGGElement; right: number } {
    const svg = draw(this.#element, this.#chart(right));
    const [bottom = 0, top = 0] = [...(svg.scale("y")?.range ?? [])];
    const mark = svgElement("g", {});
    mark.append(
      svgElement("line", {
        y1: top,
        y2: bottom,
        stroke: "var(--ink)",
        "stroke-dasharray": "3 4",
        "stroke-opacity": 0.6,
      }),
      svgElement("circle", { r: 7, fill: "var(--series-1)", stroke: "var(--page)", "stroke-width": 2.5 }),
    );
    svg.append(mark);
    removeOverlapping(svg, new Set(this.#points.map(({ name }) => name)));
    return { svg, mark, right };
  }

  #description(answer: BudgetAnswer | undefined): string {
    const [first] = this.#curve;
    const chosen =
      answer && `The chosen file has ${formatBytes(answer.bytes)} and ${divergence(answer.predicted)} nats.`;
    const others = this.#points
      .map(({ name, bytes, predicted }) => `${name}: ${formatBytes(bytes)}, ${divergence(predicted)} nats`)
      .join("; ");
    return [
      `Predicted divergence against the size of the file: from ${divergence(first?.predicted ?? 0)} nats at ${first?.gigabytes.toFixed(1)} GB downwards.`,
      chosen,
      `${others}.`,
    ]
      .filter((sentence) => sentence !== undefined)
      .join(" ");
  }

  #chart(right: number): Chart {
    const shown = this.#points
      .map((point) => ({ ...point, ...this.#placeOf(point) }))
      .filter(({ gigabytes }) => gigabytes <= right);
    const [first] = this.#curve;
    const highest = Math.max(...[...this.#curve, ...shown].map(({ predicted }) => predicted));
    return {
      description: "",
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
          domain: [this.#least, 1.3 * highest],
          label: "predicted divergence, nats (lower is better)",
          labelArrow: "none",
          tickSize: 0,
          ticks: 4,
          tickFormat: (nats: number) => `${Number(nats.toPrecision(1))}`,
        },
        marks: [
          Plot.gridY({ stroke: "var(--line)", strokeOpacity: 1, ticks: 4 }),
          Plot.line([...this.#curve], {
            x: "gigabytes",
            y: "predicted",
            stroke: "var(--series-1)",
            strokeWidth: 2.5,
            clip: true,
          }),
          Plot.dot(shown, {
            x: "gigabytes",
            y: "predicted",
            symbol: ({ kind }: Reference) => symbols[kind].symbol,
            fill: ({ kind }: Reference) => symbols[kind].fill,
            r: 4.5,
          }),
          ...labels(shown, width),
        ],
      }),
    };
  }
}

/** Removes names that lie over others; the table has them. */
function removeOverlapping(svg: SVGSVGElement, names: ReadonlySet<string>): void {
  const kept: DOMRect[] = [];
  for (const text of svg.querySelectorAll("text")) {
    if (!names.has(text.textContent ?? "")) {
      continue;
    }
    const box = text.getBoundingClientRect();
    if (kept.some((other) => overlap(box, other))) {
      text.remove();
    } else {
      kept.push(box);
    }
  }
}

function overlap(a: DOMRect, b: DOMRect): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** Names beside the points; those of mixtures above the line, the others below it, where nothing else is. */
function labels(points: readonly (Reference & Place)[], width: number): Plot.Text[] {
  const label = (kinds: readonly Reference["kind"][], place: Plot.TextOptions) =>
    Plot.text(
      points.filter(({ kind }) => kinds.includes(kind)),
      {
        x: "gigabytes",
        y: "predicted",
        text: "name",
        fill: "var(--muted)",
        stroke: "var(--page)",
        strokeWidth: 3,
        fontSize: width < 500 ? 10 : 11.5,
        ...place,
      },
    );
  return [
    label(["made"], { textAnchor: "end", dx: -7, dy: 9, fill: "var(--ink)" }),
    label(["preset"], { textAnchor: "end", dx: -7, dy: 9 }),
    label(["mixture"], { textAnchor: "start", dx: 8, dy: -7 }),
  ];
}

let latest: { readonly chart: CurveChart; readonly key: readonly unknown[] } | undefined;

/** The chart for an explorer: the one that is there, or a new one if model, settings or width are others. */
export function curveChart(
  element: HTMLElement,
  explorer: Explorer,
  points: readonly Reference[],
): CurveChart {
  const key = [explorer, points, widthOf(element)];
  if (latest === undefined || key.some((part, i) => part !== latest?.key[i])) {
    latest = { chart: new CurveChart(element, explorer, points), key };
  }
  return latest.chart;
}
