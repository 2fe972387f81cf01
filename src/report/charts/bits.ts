/** Which type the tensors of each layer have. */
import { bitsPerWeight, type TypeName } from "../../quants/types.js";
import { formatBytes, formatCount } from "../../units.js";
import { figure, legend } from "../chart.js";
import { wideChart } from "../draw-chart.js";
import type { Evaluation } from "../evaluation.js";
import { htmlTable } from "../html.js";
import type { Section } from "../section.js";
import { layerMap, layerTensors, rampSteps, rolesInOrder, type Tensor } from "./layer-map.js";

export function bitsSection(evaluation: Evaluation): Section | undefined {
  const tensors = layerTensors(evaluation);
  if (tensors.length === 0) {
    return undefined;
  }
  const types = [...new Set(tensors.map(({ to }) => to))].sort((a, b) => bitsPerWeight(a) - bitsPerWeight(b));
  const stepOf = (type: TypeName) => spread(types.indexOf(type), types.length);
  const cells = tensors.map((tensor) => ({
    layer: tensor.layer,
    role: tensor.role,
    step: stepOf(tensor.to),
    text: tensor.to,
    tip: `${tensor.name}\n${tensor.to}, ${typeBits(tensor.to)} bits per weight\n${formatBytes(tensor.bytes)}`,
  }));
  const chart = layerMap(
    cells,
    "blue",
    `Map of ${tensors.length} tensors by layer and role, coloured by type: ${types.join(", ")}. The table below has the types.`,
  );
  const key = legend(
    types.map((type) => ({ swatch: `blue-${stepOf(type)}`, label: `${type}, ${typeBits(type)} bits` })),
  );
  return {
    id: "bits",
    title: "Bits by layer and role",
    lead: "The type that each tensor was given. Routers and norms stay as they are in the source; embedding and output lie outside the layers and are in the table.",
    body: figure(wideChart(chart), key, `${groupsTable(evaluation)}${typesTable(tensors)}`),
  };
}

/** Steps of a ramp that are far apart: for two types, not the first and the second, but near both ends. */
function spread(index: number, count: number): number {
  return count <= 1 ? 3 : 1 + Math.round((index * (rampSteps - 2)) / (count - 1));
}

function typeBits(type: TypeName): string {
  return bitsPerWeight(type).toFixed(2);
}

function groupsTable({ groups }: Evaluation): string {
  return htmlTable(
    "Tensors by role and type",
    ["tensors", "type", "bits", "count", "weights", "size"],
    groups.map(({ role, type, count, parameters, bytes }) => [
      role,
      type,
      typeBits(type),
      String(count),
      formatCount(parameters),
      formatBytes(bytes),
    ]),
    [2, 3, 4, 5],
  );
}

function typesTable(tensors: readonly (Tensor & { readonly layer: number })[]): string {
  const roles = rolesInOrder(tensors);
  const layers = [...new Set(tensors.map(({ layer }) => layer))].sort((a, b) => a - b);
  return htmlTable(
    "Types by layer",
    ["layer", ...roles],
    layers.map((layer) => [
      String(layer),
      ...roles.map(
        (role) => tensors.find((tensor) => tensor.layer === layer && tensor.role === role)?.to ?? "–",
      ),
    ]),
    [0],
  );
}
