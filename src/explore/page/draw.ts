/** Draws the charts of the explorer by Observable Plot, in colours that the page's style defines. */
import * as Plot from "@observablehq/plot";
import type { Chart } from "../../report/chart.js";

/** A drawn chart, which knows its scales. */
export type Drawn = SVGSVGElement & Plot.Plot;

/** Widths of places, measured once: to measure makes the browser lay out the whole page. */
const widths = new Map<HTMLElement, number>();

/** To be called when the window has another width. */
export function forgetWidths(): void {
  widths.clear();
}

/** Width of a place, in pixels. */
export function widthOf(place: HTMLElement): number {
  const known = widths.get(place);
  if (known !== undefined) {
    return known;
  }
  const { clientWidth } = place;
  if (clientWidth > 0) {
    widths.set(place, clientWidth);
  }
  return clientWidth;
}

/** Draws a chart into an element, as wide as it is. */
export function draw(place: HTMLElement, { description, draw: optionsFor }: Chart): Drawn {
  const width = Math.max(280, Math.floor(widthOf(place)));
  // In a document of its own, whose styles are not applied: the page's policy allows no others than its own.
  const elsewhere = document.implementation.createHTMLDocument("");
  const options = { marginRight: 16, ...optionsFor(width), document: elsewhere, width };
  const svg = Plot.plot(options as Plot.PlotOptions) as unknown as Drawn;
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
  return svg;
}

/** How divergences are written: three digits, never as a power. */
export function divergence(nats: number): string {
  if (nats >= 0.1) {
    return nats.toFixed(2);
  }
  return nats >= 0.0001 ? `${Number(nats.toPrecision(2))}` : nats > 0 ? "below 0.0001" : "0";
}
