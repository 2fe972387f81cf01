/** What `verify` prints. */
import type { ComparedTensor, VerifyResult, ZeroBlocks } from "../quantize/verify.js";
import { formatBytes, formatCount, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

/** Lines of each table; `--json` has all. */
const mostLines = 10;

export const view: View<VerifyResult> = { lines: describe };

function describe({ model, bytes, tensors, weights, ...result }: VerifyResult): readonly string[] {
  const lines = [
    `${model}: ${tensors} tensors, ${formatCount(weights)} weights decoded, all finite`,
    `${formatBytes(bytes)} in ${formatDuration(result.seconds)}, ${formatBytes(result.bytesPerSecond)}/s`,
  ];
  if (result.runs) {
    lines.push("llama.cpp decodes with it");
  }
  if (result.unchecked.length > 0) {
    lines.push(`not looked into, their types being unknown here: ${result.unchecked.join(", ")}`);
  }
  if (result.zeroBlocks.length > 0) {
    lines.push("", ...zeroTable(result.zeroBlocks));
  }
  if (result.compared) {
    lines.push("", ...comparedTable(result.compared));
  }
  return lines;
}

function zeroTable(found: readonly ZeroBlocks[]): string[] {
  const share = ({ zeroBlocks, blocks }: ZeroBlocks) => zeroBlocks / blocks;
  const most = found.toSorted((a, b) => share(b) - share(a)).slice(0, mostLines);
  const rows = most.map((zero) => [
    zero.tensor,
    String(zero.expert ?? ""),
    zero.type,
    `${zero.zeroBlocks} of ${zero.blocks}`,
    `${(100 * share(zero)).toFixed(2)} %`,
  ]);
  return [
    `blocks that are all zero, in ${found.length} matrices${found.length > most.length ? "; the worst" : ""}:`,
    ...formatTable(["tensor", "expert", "type", "zero blocks", "share"], rows, [1, 3, 4]),
  ];
}

function comparedTable(compared: readonly ComparedTensor[]): string[] {
  const worst = compared.toSorted((a, b) => b.relativeError - a.relativeError).slice(0, mostLines);
  const rows = worst.map(({ name, from, to, rows, relativeError, gain }) => [
    name,
    `${from} -> ${to}`,
    String(rows),
    relativeError.toExponential(3),
    gain.toFixed(4),
  ]);
  return [
    `${compared.length} tensors compared with the source${compared.length > worst.length ? "; the largest errors" : ""}:`,
    ...formatTable(["tensor", "types", "rows", "relative error", "gain"], rows, [2, 3, 4]),
  ];
}
