/** Charts as options of Observable Plot, in colours that the page defines, and what stands around them. */
import type * as Plot from "@observablehq/plot";
import { escapeHtml } from "./html.js";

/** A chart that is drawn for the width it gets, so that its texts are never scaled. */
export interface Chart {
  /** What it shows, for those who cannot see it. */
  readonly description: string;
  readonly draw: (width: number) => Plot.PlotOptions;
}

/** Below this width a chart has room for short labels only. */
export function isNarrow(width: number): boolean {
  return width < 500;
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
