/** What `scales` prints. */
import type { ScalesResult } from "../scales/scales.js";
import { formatBytes, formatCount, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<ScalesResult> = { lines: describe };

function describe({ files, tokens, layers, seconds }: ScalesResult): readonly string[] {
  const rows = layers.map(({ layer, before, after, tensors }) => [
    `${layer}`,
    before.toExponential(3),
    after.toExponential(3),
    tensors.length > 0 ? `${(100 * (after / before - 1)).toFixed(1)} %` : "as it was",
  ]);
  return [
    "error of the stream that leaves a layer, relative to the source's, on tokens that were held out",
    ...formatTable(["layer", "before", "after", "change"], rows, [0, 1, 2, 3]),
    "",
    ...files.map((file) => `${file.path}: ${formatBytes(file.bytes)}`),
    `${formatCount(tokens)} tokens, ${formatDuration(seconds)}`,
  ];
}
