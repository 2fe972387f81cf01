/** `card` and `report`: the files that people read, beside the `evaluation.json` that they are made from. */
import { join } from "node:path";
import { writeTextFile } from "../bytes/atomic-write.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { renderCard } from "./card.js";
import { type CardOptions, cardCommand, type ReportOptions, reportCommand } from "./card-command.js";
import { evaluationFileName, readEvaluation } from "./evaluation.js";

/** What was written. */
export interface DocumentResult {
  readonly output: string;
}

/** Writes README.md into a folder that has an `evaluation.json`. Errors: see `readEvaluation`. */
export async function card(given: CardOptions): Promise<DocumentResult> {
  const { folder } = cardCommand.read(given);
  const text = await cardText(given);
  const output = join(folder, "README.md");
  await checkOutputs([output], [join(folder, evaluationFileName)]);
  await writeTextFile(output, text);
  return { output };
}

/** What `card` would write. */
export async function cardText(given: CardOptions): Promise<string> {
  const { folder, quantizedBy } = cardCommand.read(given);
  return renderCard(await readEvaluation(join(folder, evaluationFileName)), { quantizedBy });
}

/** Writes report.html into a folder that has an `evaluation.json`. Errors: see `readEvaluation`. */
export async function report(given: ReportOptions): Promise<DocumentResult> {
  const { folder } = reportCommand.read(given);
  const evaluation = await readEvaluation(join(folder, evaluationFileName));
  // Drawing takes a while to load, which commands that draw nothing need not wait for.
  const { renderReport } = await import("./report.js");
  const output = join(folder, "report.html");
  await checkOutputs([output], [join(folder, evaluationFileName)]);
  await writeTextFile(output, renderReport(evaluation));
  return { output };
}
