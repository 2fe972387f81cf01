import type { Command } from "commander";
import { type PublishResult, publish } from "../make/publish.js";
import { formatBytes } from "../units.js";
import { runCommand } from "./run.js";
import { formatTable } from "./table.js";

interface Flags {
  private?: boolean;
  revision?: string;
  dryRun?: boolean;
  json?: boolean;
}

export function addPublish(program: Command): void {
  program
    .command("publish")
    .description(
      "Upload what make left in a folder to the Hugging Face Hub, in one commit (HF_TOKEN, HF_ENDPOINT).",
    )
    .argument("<folder>", "folder that make filled")
    .argument("<repository>", "hf://owner/repository; created if there is none")
    .option("--private", "create the repository as a private one")
    .option("--revision <branch>", "branch to upload to, created if there is none (default: main)")
    .option("--dry-run", "only say what would be uploaded")
    .option("--json", "print one JSON object")
    .action((folder: string, target: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal }) => {
        const { private: isPrivate, revision, dryRun } = flags;
        const result = await publish({ folder, target, isPrivate, revision, dryRun, onProgress, signal });
        return { json: result, text: describe(result) };
      }),
    );
}

function describe({ files, bytes, repository, revision, commit, url }: PublishResult): string {
  const rows = files.map(({ path, bytes }) => [path, formatBytes(bytes)]);
  const where = `hf://${repository}@${revision}`;
  return [
    formatTable(["file", "size"], rows, [1]),
    "",
    commit === undefined
      ? `${files.length} files, ${formatBytes(bytes)}, would go to ${where}; nothing was uploaded (dry run)`
      : `${files.length} files, ${formatBytes(bytes)}, are in ${where}: ${url} (commit ${commit})`,
  ].join("\n");
}
