/** Charts as SVG: drawn by Observable Plot in a document without a browser, in colours that the page defines. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { escapeHtml } from "./html.js";

/** A chart that is drawn for the width it gets, so that its texts are never scaled. */
export interface Chart {
  /** What it shows, for those who cannot see it. */
  readonly description: string;
  readonly draw: (width: number) => Plot.PlotOptions;
}

/** Widths in pixels: of a wide page, and of a phone. A chart of half the page fits both. */
const pageWidth = 760;
const phoneWidth = 328;

/** Below this width a chart has room for short labels only. */
export function isNarrow(width: number): boolean {
  return width < 500;
}

/** A chart as wide as the page, and the same for phones; the page's style shows one of them. */
export function wideChart(chart: Chart): string {
  return `${draw(chart, pageWidth, "wide")}${draw(chart, phoneWidth, "narrow")}`;
}

/** A chart of half the page's width. */
export function halfChart(chart: Chart): string {
  return draw(chart, phoneWidth, "half");
}

function draw({ description, draw: optionsFor }: Chart, width: number, size: string): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const options = { marginRight: 16, ...optionsFor(width) };
  const svg = Plot.plot({
    ...options,
    document,
    width,
    style: { fontSize: "12px" },
    className: "chart",
  } as Plot.PlotOptions) as unknown as Drawing;
  // Its style is the page's, which allows no other.
  for (const style of svg.querySelectorAll("style")) {
    style.remove();
  }
  svg.removeAttribute("style");
  svg.setAttribute("font-size", "12");
  svg.setAttribute("class", `chart ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", description);
  for (const part of svg.querySelectorAll("g")) {
    part.removeAttribute("aria-label");
  }
  // The page shows these texts itself: a browser's own would come late, and never on a phone.
  for (const title of svg.querySelectorAll("title")) {
    title.parentNode.setAttribute("data-tip", title.textContent);
    title.remove();
  }
  return svg.outerHTML;
}

/** The part of the document's interface that is used; the project's types know no browser. */
interface Drawing {
  readonly outerHTML: string;
  readonly textContent: string;
  readonly parentNode: Drawing;
  querySelectorAll(selector: string): Iterable<Drawing>;
  setAttribute(name: string, value: string): void;
  removeAttribute(name: string): void;
  remove(): void;
}

/** A figure: charts, with the same figures in a table. */
export function figure(charts: string, legend: string, table: string): string {
  return `<figure>${legend}${charts}<details><summary>Values</summary>${table}</details></figure>`;
}

/** What the colours mean. Classes name the colours: the page allows no styles in attributes. */
export function legend(items: readonly { readonly swatch: string; readonly label: string }[]): string {
  const entries = items.map(
    ({ swatch, label }) => `<li><span class="swatch ${swatch}"></span>${escapeHtml(label)}</li>`,
  );
  return `<ul class="legend">${entries.join("")}</ul>`;
}

/** Layers to write at an axis with room for about `most` numbers. */
export function layerTicks(layers: readonly number[], most: number): number[] {
  const step = [1, 2, 4, 5, 8, 10, 20, 25, 50, 100].find((size) => layers.length / size <= most) ?? 200;
  return layers.filter((layer) => layer % step === 0);
}

/** Bytes in the unit that suits the largest of them. */
export function unitFor(bytes: number): { readonly name: string; readonly size: number } {
  return bytes < 1e9 ? { name: "MB", size: 1e6 } : { name: "GB", size: 1e9 };
}
