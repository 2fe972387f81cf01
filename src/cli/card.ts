import type { Command } from "commander";
import { writeCard } from "../report/write.js";
import { runCommand } from "./run.js";

interface Flags {
  quantizedBy?: string;
  json?: boolean;
}

export function addCard(program: Command): void {
  program
    .command("card")
    .description("Writes the model card, README.md for Hugging Face, from a folder's evaluation.json.")
    .argument("<folder>", "folder that make filled")
    .option("--quantized-by <name>", "who made it: your name on Hugging Face (default: lopsided)")
    .option("--json", "print one JSON object")
    .action((folder: string, { quantizedBy, ...flags }: Flags) =>
      runCommand(flags, async () => {
        const output = await writeCard(folder, { quantizedBy });
        return { json: { output }, text: output };
      }),
    );
}
