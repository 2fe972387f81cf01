/** What `convert` prints. */
import type { ConvertResult } from "../quantize/convert.js";
import { formatBytes, formatDuration } from "../units.js";
import type { View } from "./view.js";

export const view: View<ConvertResult> = { lines: describe };

function describe({ files, tensors, prediction, seconds }: ConvertResult): readonly string[] {
  const lines = [...files, ...(prediction?.files ?? [])].map(
    ({ path, bytes, sha256 }) => `${path}: ${formatBytes(bytes)}, sha256 ${sha256}`,
  );
  return [...lines, `${tensors} tensors, ${formatDuration(seconds)}`];
}
