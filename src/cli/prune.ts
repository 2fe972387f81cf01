/** What `prune` prints. */
import type { PruneResult } from "../quantize/prune.js";
import { formatBytes, formatCount, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<PruneResult> = { lines: describe };

function describe({
  output,
  bytes,
  files,
  imatrix,
  experts,
  parameters,
  layers,
  seconds,
}: PruneResult): readonly string[] {
  return [
    ...formatTable(
      ["layer", "dropped experts", "of what all add"],
      layers.map(({ layer, dropped, lost }) => [
        String(layer),
        dropped.join(", "),
        lost === undefined ? "not measured" : `${(100 * lost).toFixed(2)} %`,
      ]),
      [0, 2],
    ),
    "",
    `${experts.after} of ${experts.before} experts in each layer, ${formatCount(parameters.after)} of ${formatCount(parameters.before)} weights`,
    ...(files
      ? files.map((file) => `${file.path}: ${formatBytes(file.bytes)}, sha256 ${file.sha256}`)
      : [`${output} would have ${formatBytes(bytes)}; nothing was written (dry run)`]),
    ...(imatrix === undefined ? [] : [`${imatrix}: its importance matrix`]),
    formatDuration(seconds),
  ];
}
