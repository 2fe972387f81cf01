import type { Command } from "commander";
import { inspect } from "../model/inspect.js";
import { formatBytes } from "../units.js";
import { rolesTable, sizeLine } from "./roles-table.js";
import { type CommandContext, type CommandResult, runCommand } from "./run.js";
import { formatTable } from "./table.js";
import { printableLine } from "./terminal.js";

interface Flags {
  json?: boolean;
  tensors?: boolean;
}

export function addInspect(program: Command): void {
  program
    .command("inspect")
    .description("What is in a model: architecture, roles of its tensors, types, sizes.")
    .argument(
      "<model>",
      "GGUF file, first file of a split set, Hugging Face folder, https:// or hf:// address",
    )
    .option("--tensors", "list every tensor")
    .option("--json", "print one JSON object")
    .action((model: string, flags: Flags) => runCommand(flags, (context) => run(model, flags, context)));
}

async function run(model: string, flags: Flags, { signal }: CommandContext): Promise<CommandResult> {
  const result = await inspect(model, { signal });
  const lines = [
    printableLine(`${result.model}: ${result.architecture}${result.name ? `, ${result.name}` : ""}`),
    `${sizeLine(result)}; file ${formatBytes(result.bytes)}`,
    "",
    rolesTable(result),
    ...result.notes,
  ];
  if (flags.tensors) {
    const rows = result.tensors.map(({ name, role, shape, type, packed, bytes }) => [
      name,
      role,
      shape.join(" x "),
      packed ?? type,
      String(bytes),
    ]);
    lines.push("", formatTable(["name", "role", "shape", "type", "bytes"], rows, [4]));
  }
  return { json: result, text: lines.join("\n") };
}
