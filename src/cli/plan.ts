import { type Command, Option } from "commander";
import { parseRoleLimit, parseRoleSelector } from "../budget/candidates.js";
import { type PlanResult, plan } from "../budget/plan.js";
import { type Effort, efforts } from "../quants/effort.js";
import { type Backend, backends, parseTypeName } from "../quants/types.js";
import { formatBytes, formatDuration } from "../units.js";
import { collect, notNegative, wholeNumber } from "./arguments.js";
import { addBudgetOptions, type BudgetFlags, budgetOf } from "./budget-options.js";
import { runCommand } from "./run.js";
import { formatTable } from "./table.js";

interface Flags extends BudgetFlags {
  output: string;
  imatrix?: string;
  priorWeight?: number;
  sensitivity?: string;
  allow?: string[];
  atLeast?: string[];
  atMost?: string[];
  tie?: string[];
  backend?: Backend;
  errors?: string;
  effort?: Effort | "max";
  moments?: string;
  threads?: number;
  json?: boolean;
}

export function addPlan(program: Command): void {
  const command = program
    .command("plan")
    .description("Choose each tensor's type so that the model loses least within a budget; write a recipe.")
    .argument("<model>", "GGUF file, first file of a split set, or Hugging Face folder")
    .requiredOption("-o, --output <file>", "recipe file to write");
  addBudgetOptions(command)
    .option("--imatrix <file>", "importance matrix that quantize will use, GGUF or .dat")
    .option("--prior-weight <tokens>", "shrinkage prior that quantize will use", notNegative)
    .option("--sensitivity <file>", "what lopsided sensitivity measured (default: by role and depth)")
    .option("--allow <role=types>", "only these types, like routed.down=IQ3_S,Q4_K (repeatable)", collect)
    .option("--at-least <role=type>", "no type of fewer bits, like attention=Q4_K (repeatable)", collect)
    .option("--at-most <role=type>", "no type of more bits, like embedding=Q6_K (repeatable)", collect)
    .option("--tie <role>", "one type for all layers of a role, like routed.down (repeatable)", collect)
    .addOption(new Option("--backend <name>", "only types with fast kernels there").choices([...backends]))
    .option("--errors <file>", "where measured errors are kept (default: in the user's cache folder)")
    .addOption(
      new Option("--effort <effort>", "effort that quantize will be given").choices([...efforts, "max"]),
    )
    .option("--moments <file>", "with --effort max: second moments of the inputs that quantize will use")
    .option("--threads <n>", "encoder threads (default: all cores)", wholeNumber(1))
    .option("--json", "print one JSON object")
    .action((model: string, flags: Flags) =>
      runCommand(flags, async ({ onProgress, signal, say }) => {
        const { imatrix, priorWeight, sensitivity, backend, errors, effort, moments, threads } = flags;
        const { tie, allow, atLeast, atMost, output } = flags;
        const type = parseTypeName;
        const result = await plan({
          model,
          output,
          ...budgetOf(flags),
          ...{ imatrix, priorWeight, sensitivity, backend, errors, effort, moments, threads },
          tied: tie?.map(parseRoleSelector),
          limits: [
            ...(allow ?? []).map((text) => parseRoleLimit(text, "allowed", type)),
            ...(atLeast ?? []).map((text) => parseRoleLimit(text, "least", type)),
            ...(atMost ?? []).map((text) => parseRoleLimit(text, "most", type)),
          ],
          onProgress,
          onWarning: (warning) => say(`warning: ${warning}`),
          signal,
        });
        return { json: result, text: describe(result) };
      }),
    );
}

function describe(result: PlanResult): string {
  const { budget, predicted, bound, gap } = result;
  const optimality =
    gap === 0
      ? "proven optimal"
      : `no recipe gets below ${bound.toPrecision(4)}, gap ${(100 * gap).toFixed(2)} %`;
  return [
    typesTable(result),
    "",
    `${result.recipe}: ${formatBytes(result.bytes)} (${result.bytes} bytes), ${result.bpw.toFixed(3)} bits per weight`,
    `budget: ${budget.title}, ${budget.bytes} bytes, of which ${budget.used} are used`,
    `predicted KL divergence ${predicted.toPrecision(4)} nats (${optimality}); sensitivity: ${result.sensitivity}, errors: ${result.errors}`,
    formatDuration(result.seconds),
  ].join("\n");
}

/** How many tensors and bytes each type got, and what part of the predicted divergence. */
function typesTable({ tensors, predicted }: PlanResult): string {
  const groups = new Map<string, { count: number; bytes: number; cost: number }>();
  for (const { type, bytes, error, alpha } of tensors) {
    const group = groups.get(type) ?? { count: 0, bytes: 0, cost: 0 };
    groups.set(type, {
      count: group.count + 1,
      bytes: group.bytes + bytes,
      cost: group.cost + alpha * error,
    });
  }
  const rows = [...groups]
    .sort(([, a], [, b]) => b.bytes - a.bytes)
    .map(([type, { count, bytes, cost }]) => [
      type,
      `${count}`,
      formatBytes(bytes),
      predicted > 0 ? `${((100 * cost) / predicted).toFixed(1)} %` : "",
    ]);
  return formatTable(["type", "tensors", "size", "of the divergence"], rows, [1, 2, 3]);
}
