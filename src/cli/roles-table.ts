/** A model's tensors by role, as a table and in one line. */

import type { ModelSummary } from "../model/summary.js";
import { bitsPerWeight } from "../quants/types.js";
import { formatBinaryBytes, formatBytes, formatCount } from "../units.js";
import { formatTable } from "./table.js";

/** The roles table of a model card: group, type, bits, count, size. */
export function rolesTable(summary: ModelSummary): readonly string[] {
  return formatTable(
    ["tensors", "type", "bits", "count", "weights", "size"],
    summary.groups.map(({ role, type, packed, count, parameters, bytes }) => [
      role,
      packed ?? type,
      (packed === undefined ? bitsPerWeight(type) : (8 * bytes) / parameters).toFixed(2),
      String(count),
      formatCount(parameters),
      formatBytes(bytes),
    ]),
    [2, 3, 4, 5],
  );
}

/** `30.53 B weights, 11.41 GB (10.63 GiB) of tensors, 2.99 bits per weight`. */
export function sizeLine({
  parameters,
  tensorBytes,
  bpw,
}: Pick<ModelSummary, "parameters" | "tensorBytes" | "bpw">): string {
  return `${formatCount(parameters)} weights, ${formatBytes(tensorBytes)} (${formatBinaryBytes(tensorBytes)}) of tensors, ${bpw.toFixed(2)} bits per weight`;
}
