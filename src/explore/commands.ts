/** What to type to make and run what the explorer found. */
import { serverCommand, shellWord } from "../memory/server-command.js";
import { calibrationFile, imatrixName } from "./explorable-model.js";
import type { BudgetAnswer, Explorer } from "./explorer.js";

/** Name of the file that the commands write. */
function outputName({ model }: Explorer, { bpw }: BudgetAnswer): string {
  const [last = "model"] = model.name
    .replace(/[?#].*$/, "")
    .split(/[\\/]/)
    .slice(-1);
  const base = last.replace(/\.gguf$/i, "").replace(/-\d{5}-of-\d{5}$/, "");
  return `${base.replace(/[^\w.+-]/g, "_") || "model"}-${bpw.toFixed(2)}bpw.gguf`;
}

/** The commands, one a line: calibrate, quantize, run. */
export function shellCommands(explorer: Explorer, answer: BudgetAnswer): string {
  const { model, settings } = explorer;
  const { context, sequences, keyType, valueType, hasImportance } = settings;
  const source = shellWord(model.name);
  const imatrix = shellWord(imatrixName(model));
  const output = shellWord(outputName(explorer, answer));
  const isRequantized = model.tensors.some(
    ({ name, type }) => answer.types.get(name) !== type && !["F32", "F16", "BF16"].includes(type),
  );
  const quantize = [
    `lopsided quantize ${source} ${output} --recipe ./recipe.yaml`,
    ...(hasImportance ? [`--imatrix ${imatrix}`] : []),
    ...(isRequantized ? ["--allow-requantize"] : []),
  ];
  const isImatrixMissing = hasImportance && model.imatrix === undefined;
  const server = { context, sequences, cacheTypeK: keyType, cacheTypeV: valueType };
  return [
    ...(isImatrixMissing ? [`lopsided imatrix ${source} ${calibrationFile} -o ${imatrix}`] : []),
    quantize.join(" "),
    serverCommand(["-m", output], server),
  ].join("\n");
}
