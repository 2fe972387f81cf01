/** What `plan` prints. */
import type { PlanResult } from "../budget/plan.js";
import { formatBytes, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<PlanResult> = { lines: describe };

function describe(result: PlanResult): readonly string[] {
  const { budget, predicted, bound, gap } = result;
  const optimality =
    gap === 0
      ? "proven optimal"
      : `no recipe gets below ${bound.toPrecision(4)}, gap ${(100 * gap).toFixed(2)} %`;
  return [
    ...typesTable(result),
    "",
    `${result.recipe}: ${formatBytes(result.bytes)} (${result.bytes} bytes), ${result.bpw.toFixed(3)} bits per weight`,
    `budget: ${budget.title}, ${budget.bytes} bytes, of which ${budget.used} are used`,
    ...expertsLines(result),
    ...lowBitLines(result),
    `predicted KL divergence ${predicted.toPrecision(4)} nats (${optimality}); sensitivity: ${result.sensitivity}, errors: ${result.errors}`,
    formatDuration(result.seconds),
  ];
}

function expertsLines({ experts, weighed = [] }: PlanResult): string[] {
  const { count, width, divergence = 0 } = experts ?? {};
  const lines = weighed.map(
    ({ experts: kept, padded, bytes, predicted }) =>
      `weighed: ${kept} experts in each layer${padded ? ", padded" : ""}: ${formatBytes(bytes)}, predicted ${predicted.toPrecision(4)} nats`,
  );
  if (width) {
    lines.push(`chosen: experts ${width.after} wide instead of ${width.before}`);
  }
  if (count) {
    lines.push(
      `chosen: ${count.after} of ${count.before} experts in each layer, predicted to cost ${divergence.toPrecision(4)} nats`,
    );
  }
  return lines;
}

/** What copying them costs in bytes, and lowering them in divergence. */
function lowBitLines({ lowBit }: PlanResult): string[] {
  return lowBit === undefined
    ? []
    : [
        `${lowBit.count} tensors have 4.5 bits or less already: copied they take ${formatBytes(lowBit.copiedBytes)}, as planned ${formatBytes(lowBit.bytes)} at ${lowBit.divergence.toPrecision(4)} nats`,
      ];
}

/** How many tensors and bytes each type got, and what part of the predicted divergence. */
function typesTable({ tensors, predicted }: PlanResult): readonly string[] {
  const groups = new Map<string, { count: number; bytes: number; cost: number }>();
  for (const { type, bytes, error, alpha } of tensors) {
    const group = groups.get(type) ?? { count: 0, bytes: 0, cost: 0 };
    groups.set(type, {
      count: group.count + 1,
      bytes: group.bytes + bytes,
      cost: group.cost + alpha * error,
    });
  }
  const rows = [...groups]
    .sort(([, a], [, b]) => b.bytes - a.bytes)
    .map(([type, { count, bytes, cost }]) => [
      type,
      `${count}`,
      formatBytes(bytes),
      predicted > 0 ? `${((100 * cost) / predicted).toFixed(1)} %` : "",
    ]);
  return formatTable(["type", "tensors", "size", "of the divergence"], rows, [1, 2, 3]);
}
