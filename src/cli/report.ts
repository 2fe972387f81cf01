import type { Command } from "commander";
import { writeReport } from "../report/write.js";
import { runCommand } from "./run.js";

interface Flags {
  json?: boolean;
}

export function addReport(program: Command): void {
  program
    .command("report")
    .description("Writes the report, one HTML file with charts, from a folder's evaluation.json.")
    .argument("<folder>", "folder that make filled")
    .option("--json", "print one JSON object")
    .action((folder: string, flags: Flags) =>
      runCommand(flags, async () => {
        const output = await writeReport(folder);
        return { json: { output }, text: output };
      }),
    );
}
