/** The map of types by layer and role. */
import { layerOf, roleOf } from "../../model/roles.js";
import { bitsPerWeight, type TypeName } from "../../quants/types.js";
import { isQuantizable } from "../../recipe/quantizable.js";
import { type LayerCell, layerMap, rampSteps } from "../../report/charts/layer-map.js";
import type { Explorer } from "../explorer.js";
import { draw, widthOf } from "./draw.js";

/** A tensor that lies in a layer, with its type. */
export interface PlacedTensor {
  readonly name: string;
  readonly layer: number;
  readonly role: string;
  readonly type: TypeName;
}

/** Tensors in layers of roles that can be quantized: the same at every budget, so that the map stays where it is. */
export function placedTensors({ model }: Explorer, types: ReadonlyMap<string, TypeName>): PlacedTensor[] {
  const placed = model.tensors.flatMap((tensor) => {
    const { name, type } = tensor;
    const layer = layerOf(name);
    const place = { name, layer: layer ?? 0, role: roleOf(name), type: types.get(name) ?? type };
    return layer === undefined ? [] : [{ ...place, canChange: isQuantizable(name, tensor.shape) }];
  });
  const roles = new Set(placed.filter(({ canChange }) => canChange).map(({ role }) => role));
  return placed.filter(({ role }) => roles.has(role));
}

/** Step of the ramp for a type: by bits, so that a colour means the same at every budget. */
export function rampStep(type: TypeName): number {
  const bits = Math.log2(bitsPerWeight(type) / 2) / Math.log2(4.5);
  return Math.min(rampSteps - 1, Math.max(0, Math.round(bits * (rampSteps - 1))));
}

/** The map that is drawn, and all that it shows but types: as long as that is the same, it is only coloured anew. */
let drawn: { readonly svg: SVGSVGElement; readonly key: string } | undefined;

/** Shows which type each tensor has, by layer and role. */
export function showBitsChart(element: HTMLElement, tensors: readonly PlacedTensor[]): void {
  const cells = tensors.map(cellOf);
  const chart = layerMap(cells, "blue", descriptionOf(tensors));
  const key = JSON.stringify([widthOf(element), tensors.map(({ name }) => name)]);
  const squares = drawn?.key === key && drawn.svg.isConnected ? squaresOf(drawn.svg, tensors) : undefined;
  if (drawn === undefined || squares === undefined) {
    drawn = { svg: draw(element, chart), key };
    return;
  }
  drawn.svg.setAttribute("aria-label", chart.description);
  for (const [i, square] of squares.entries()) {
    const { step = 0, tip = "" } = cells[i] ?? {};
    square.setAttribute("fill", `var(--blue-${step})`);
    square.firstElementChild?.replaceChildren(tip);
  }
}

/** The squares in the order of the tensors; undefined if there are others, or types are written on them. */
function squaresOf(svg: SVGSVGElement, { length }: readonly PlacedTensor[]): SVGRectElement[] | undefined {
  const squares = [...svg.querySelectorAll("rect")];
  const texts = svg.querySelectorAll("text[pointer-events], g[pointer-events] text");
  return squares.length === length && texts.length === 0 ? squares : undefined;
}

function cellOf({ name, layer, role, type }: PlacedTensor): LayerCell {
  const tip = `${name}: ${type}, ${bitsPerWeight(type).toFixed(2)} bits per weight`;
  return { layer, role, step: rampStep(type), text: type, tip };
}

function descriptionOf(tensors: readonly PlacedTensor[]): string {
  const types = [...new Set(tensors.map(({ type }) => type))];
  return `Map of ${tensors.length} tensors by layer and role, coloured by type: ${types.join(", ")}. The table below has the types.`;
}
