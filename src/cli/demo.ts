import type { Command } from "commander";
import { demo } from "../make/demo.js";
import type { StageEvent } from "../make/stages.js";
import { wholeNumber } from "./arguments.js";
import { commandLine } from "./command-line.js";
import { describeMake, sayStage } from "./make.js";
import { runCommand } from "./run.js";

interface Flags {
  output: string;
  threads?: number;
  json?: boolean;
}

export function addDemo(program: Command): void {
  program
    .command("demo")
    .description("The whole of make on the tiny model that ships with the package: two minutes on two cores.")
    .option("-o, --output <folder>", "folder for the result", "lopsided-demo")
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1))
    .option("--json", "print one JSON object")
    .action(({ output, threads, json }: Flags) =>
      runCommand({ json: json ?? false }, async ({ onProgress, signal, say }) => {
        const onWarning = (warning: string) => say(`warning: ${warning}`);
        const onStage = (event: StageEvent) => sayStage(event, say);
        const controls = { onProgress, onWarning, onStage, signal };
        const result = await demo({ output, threads, command: commandLine(), ...controls });
        return { json: result, text: describeMake(result) };
      }),
    );
}
