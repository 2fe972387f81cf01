/** Charts as SVG: drawn by Observable Plot in a document without a browser. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Chart } from "./chart.js";
import { colours } from "./style.js";

/** Widths in pixels: of a wide page, and of a phone. A chart of half the page fits both. */
const pageWidth = 760;
const phoneWidth = 328;

/** A chart as wide as the page, and the same for phones; the page's style shows one of them. */
export function wideChart(chart: Chart): string {
  return `${draw(chart, pageWidth, "wide")}${draw(chart, phoneWidth, "narrow")}`;
}

/** A chart of half the page's width. */
export function halfChart(chart: Chart): string {
  return draw(chart, phoneWidth, "half");
}

/** A chart as a file of its own, as wide as a page, in light or dark as its reader has it. */
export function standaloneChart(chart: Chart): string {
  const svg = draw(chart, pageWidth, "wide");
  const style = `<style>${colours} svg { background: var(--page); color: var(--ink); font-family: system-ui, sans-serif; }</style>`;
  const namespace = 'xmlns="http://www.w3.org/2000/svg"';
  return svg.replace(/^<svg([^>]*)>/, (_, given: string) => {
    const others = given.includes(namespace) ? "" : ` ${namespace}`;
    return `<svg${others}${given}>${style}`;
  });
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
