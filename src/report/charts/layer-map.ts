/** A map of layers and roles: one cell for each tensor, coloured by a value. */
import * as Plot from "@observablehq/plot";
import { layerOf, roles } from "../../model/roles.js";
import { type Chart, isNarrow, layerTicks } from "../chart.js";
import type { Evaluation } from "../evaluation.js";

export type Tensor = Evaluation["tensors"][number];

/** Colours of a ramp: classes and variables of the page are called `blue-0` to `blue-7`. */
export const rampSteps = 8;

export interface LayerCell {
  readonly layer: number;
  readonly role: string;
  /** Step of the ramp. */
  readonly step: number;
  /** What to write into the cell if there is room. */
  readonly text: string;
  /** What to say of it. */
  readonly tip: string;
}

/** Tensors in layers, of roles that are quantized somewhere: routers and norms stay as they are. */
export function layerTensors({ tensors }: Evaluation): (Tensor & { readonly layer: number })[] {
  const placed = tensors.flatMap((tensor) => {
    const layer = layerOf(tensor.name);
    return layer === undefined ? [] : [{ ...tensor, layer }];
  });
  const plain = new Set(["F32", "F16", "BF16"]);
  const quantized = new Set(placed.filter(({ to }) => !plain.has(to)).map(({ role }) => role));
  return placed.filter(({ role }) => quantized.has(role));
}

/** Roles in the order in which a token meets them: attention, then experts. */
export function rolesInOrder(cells: readonly { readonly role: string }[]): string[] {
  const groups = ["attention", "ssm", "dense", "shared", "routed"];
  const rank = (role: string) => {
    const group = groups.indexOf(role.split(".")[0] ?? "");
    return (group < 0 ? groups.length : group) * roles.length + (roles as readonly string[]).indexOf(role);
  };
  return [...new Set(cells.map(({ role }) => role))].sort((a, b) => rank(a) - rank(b));
}

const shortNames: Readonly<Record<string, string>> = {
  attention: "attn",
  routed: "routed",
  shared: "shared",
};

/** Height of a row in pixels, and room for the axis below. */
const rowHeight = 26;
const axisHeight = 44;

/** The map in the colours of a ramp (`blue` or `orange`). */
export function layerMap(cells: readonly LayerCell[], ramp: string, description: string): Chart {
  const rows = rolesInOrder(cells);
  const layers = [...new Set(cells.map(({ layer }) => layer))].sort((a, b) => a - b);
  return {
    description,
    draw: (width) => {
      const narrow = isNarrow(width);
      const marginLeft = narrow ? 92 : 128;
      const cellWidth = (width - marginLeft - 16) / layers.length;
      const hasText = cellWidth >= 7 * Math.max(...cells.map(({ text }) => text.length)) + 6;
      return {
        height: rows.length * rowHeight + axisHeight,
        marginLeft,
        marginTop: 4,
        marginBottom: axisHeight - 4,
        x: {
          type: "band",
          domain: layers,
          ticks: layerTicks(layers, narrow ? 8 : 16),
          label: "layer",
          labelArrow: "none",
          labelAnchor: "center",
          tickSize: 0,
          padding: layers.length > 24 ? 0.06 : 0.03,
          round: false,
        },
        y: {
          type: "band",
          domain: rows,
          label: null,
          tickSize: 0,
          padding: 0.08,
          tickFormat: (role: string) => (narrow ? short(role) : role),
        },
        marks: [
          Plot.cell([...cells], {
            x: "layer",
            y: "role",
            fill: ({ step }: LayerCell) => `var(--${ramp}-${step})`,
            title: "tip",
            rx: cellWidth > 10 ? 2 : 0,
          }),
          ...(hasText
            ? [
                Plot.text([...cells], {
                  x: "layer",
                  y: "role",
                  text: "text",
                  fill: ({ step }: LayerCell) => (step < rampSteps / 2 ? "var(--on-low)" : "var(--on-high)"),
                  pointerEvents: "none",
                }),
              ]
            : []),
        ],
      };
    },
  };
}

function short(role: string): string {
  const [group = "", part] = role.split(".");
  return part === undefined ? role : `${shortNames[group] ?? group}.${part.replace("output", "out")}`;
}
