/** What `sensitivity` prints. */
import type { SensitivityResult } from "../budget/sensitivity/measure.js";
import { formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<SensitivityResult> = { lines: describe };

function describe({ output, tensors, chunks, seconds }: SensitivityResult): readonly string[] {
  const roles = new Map<string, number[]>();
  for (const { role, alpha } of tensors) {
    roles.set(role, [...(roles.get(role) ?? []), alpha]);
  }
  const rows = [...roles].map(([role, alphas]) => [
    role,
    `${alphas.length}`,
    alphas.reduce((sum, alpha) => sum + alpha, 0).toPrecision(3),
    Math.min(...alphas).toPrecision(3),
    Math.max(...alphas).toPrecision(3),
  ]);
  return [
    "KL divergence in nats for each unit of relative error",
    ...formatTable(["role", "tensors", "all together", "least", "most"], rows, [1, 2, 3, 4]),
    "",
    `${output}: ${tensors.length} tensors on ${chunks} chunks, ${formatDuration(seconds)}`,
  ];
}
