/** What `quantize` prints. */
import { summarize } from "../model/summary.js";
import type { QuantizeResult } from "../quantize/quantize.js";
import { formatBytes, formatCount, formatDuration } from "../units.js";
import { rolesTable, sizeLine } from "./roles-table.js";
import type { View } from "./view.js";

export const view: View<QuantizeResult> = { lines: describe };

function describe(result: QuantizeResult): readonly string[] {
  const summary = summarize(result.tensors.map((tensor) => ({ ...tensor, type: tensor.to })));
  const lines = [...rolesTable(summary), "", sizeLine(summary)];
  const outputs = [result, ...(result.prediction ? [result.prediction] : [])];
  if (result.files === undefined) {
    const sizes = outputs.map(({ output, bytes }) => `${output} would have ${formatBytes(bytes)}`);
    lines.push(`${sizes.join(", ")}; nothing was written (dry run)`);
  } else {
    const files = outputs.flatMap((one) => one.files ?? []);
    lines.push(
      ...files.map(({ path, bytes, sha256 }) => `${path}: ${formatBytes(bytes)}, sha256 ${sha256}`),
      `${formatDuration(result.seconds)}, ${formatCount(result.weightsPerSecond ?? 0)} weights/s, peak memory ${formatBytes(result.peakRssBytes)}`,
    );
    if (result.cachedShare !== undefined) {
      lines.push(`${(100 * result.cachedShare).toFixed(1)} % of the weights were in the cache`);
    }
  }
  return lines;
}
