/** `card` and `report`: the files that people read, beside the `evaluation.json` that they are made from. */
import { join } from "node:path";
import { writeTextFile } from "../bytes/atomic-write.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { type CardOptions, renderCard } from "./card.js";
import { evaluationFileName, readEvaluation } from "./evaluation.js";

/** Writes README.md into a folder that has an `evaluation.json`; returns its path. Errors: see `readEvaluation`. */
export async function writeCard(folder: string, options?: CardOptions): Promise<string> {
  const evaluation = await readEvaluation(join(folder, evaluationFileName));
  const path = join(folder, "README.md");
  await checkOutputs([path], [join(folder, evaluationFileName)]);
  await writeTextFile(path, renderCard(evaluation, options));
  return path;
}

/** Writes report.html into a folder that has an `evaluation.json`; returns its path. Errors: see `readEvaluation`. */
export async function writeReport(folder: string): Promise<string> {
  const evaluation = await readEvaluation(join(folder, evaluationFileName));
  // Drawing takes a while to load, which commands that draw nothing need not wait for.
  const { renderReport } = await import("./report.js");
  const path = join(folder, "report.html");
  await checkOutputs([path], [join(folder, evaluationFileName)]);
  await writeTextFile(path, renderReport(evaluation));
  return path;
}
