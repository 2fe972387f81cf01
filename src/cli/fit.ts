/** What `fit` prints. */
import type { FitResult } from "../memory/fit.js";
import { formatBinaryBytes, formatBytes } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<FitResult> = { lines: describe };

function describe(result: FitResult): readonly string[] {
  const { memory, sequences, context, recipe } = result;
  const size = (bytes: number) => [formatBytes(bytes), formatBinaryBytes(bytes)];
  const rows = [
    [recipe === undefined ? "weights" : `weights by ${recipe}`, ...size(result.weightsBytes)],
    [`KV cache, ${sequences} x ${context} tokens`, ...size(result.kvBytes)],
    ["compute buffers", ...size(result.computeBytes)],
    ["together", ...size(result.totalBytes)],
    ...(result.hostBytes > 0 ? [["of it on the card", ...size(result.neededBytes)]] : []),
    [memory.name, ...size(memory.bytes)],
    ["of it left free", ...size(memory.marginBytes)],
  ];
  return [
    ...formatTable(["", "", ""], rows, [1, 2]).slice(1),
    "",
    cacheLine(result),
    verdict(result),
    ...[`${memory.name}: ${memory.basis}.`, ...result.notes].map((note) => `note: ${note}`),
    "",
    result.command,
  ];
}

function cacheLine({ kvBytesPerToken, kvFixedBytes, cacheTypeK, cacheTypeV }: FitResult): string {
  const fixed = kvFixedBytes > 0 ? ` and ${formatBytes(kvFixedBytes)} whatever their number` : "";
  return `KV cache: ${kvBytesPerToken} bytes per token${fixed}, for each sequence (${cacheTypeK} keys, ${cacheTypeV} values)`;
}

function verdict({ fits, neededBytes, availableBytes, maxContext, sequences, memory }: FitResult): string {
  const longest =
    maxContext > 0
      ? `the longest context that fits is ${maxContext} tokens${sequences > 1 ? ` for each of ${sequences}` : ""}.`
      : "no context fits beside the weights.";
  const difference = formatBytes(Math.abs(availableBytes - neededBytes));
  return fits
    ? `fits ${memory.name}, ${difference} to spare; ${longest}`
    : `does not fit ${memory.name}: ${difference} too large; ${longest}`;
}
