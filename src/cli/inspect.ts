/** What `inspect` prints. */
import type { InspectResult } from "../model/inspect.js";
import { formatBytes } from "../units.js";
import { rolesTable, sizeLine } from "./roles-table.js";
import { formatTable } from "./table.js";
import type { Typed, View } from "./view.js";

export const view: View<InspectResult> = { lines: describe };

function describe(result: InspectResult, { tensors }: Typed): readonly string[] {
  const lines = [
    `${result.model}: ${result.architecture}${result.name ? `, ${result.name}` : ""}`,
    `${sizeLine(result)}; file ${formatBytes(result.bytes)}`,
    "",
    ...rolesTable(result),
    ...result.notes,
  ];
  if (tensors) {
    const rows = result.tensors.map(({ name, role, shape, type, packed, bytes }) => [
      name,
      role,
      shape.join(" x "),
      packed ?? type,
      String(bytes),
    ]);
    lines.push("", ...formatTable(["name", "role", "shape", "type", "bytes"], rows, [4]));
  }
  return lines;
}
