/** What `publish` prints. */
import type { PublishResult } from "../make/publish.js";
import { formatBytes } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<PublishResult> = { lines: describe };

function describe({ files, bytes, repository, revision, commit, url }: PublishResult): readonly string[] {
  const rows = files.map(({ path, bytes }) => [path, formatBytes(bytes)]);
  const where = `hf://${repository}@${revision}`;
  return [
    ...formatTable(["file", "size"], rows, [1]),
    "",
    commit === undefined
      ? `${files.length} files, ${formatBytes(bytes)}, would go to ${where}; nothing was uploaded (dry run)`
      : `${files.length} files, ${formatBytes(bytes)}, are in ${where}: ${url} (commit ${commit})`,
  ];
}
