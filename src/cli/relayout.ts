/** What `relayout` prints. */
import type { RelayoutResult } from "../quantize/relayout.js";
import { formatBytes, formatDuration } from "../units.js";
import type { View } from "./view.js";

export const view: View<RelayoutResult> = { lines: describe };

function describe({ files, bytes, tensors, renamed, dropped, seconds }: RelayoutResult): readonly string[] {
  return [
    ...files.map((file) => `${file.path}: ${formatBytes(file.bytes)}`),
    `${tensors} tensors, ${renamed} renamed, ${dropped.length} dropped; ${formatDuration(seconds)}, ${formatBytes(bytes / seconds)}/s`,
  ];
}
