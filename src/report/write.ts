/** `card` and `report`: the files that people read, beside the `evaluation.json` that they are made from. */
import { join } from "node:path";
import { OutputFile } from "../bytes/output.js";
import { type CardOptions, renderCard } from "./card.js";
import { evaluationFileName, readEvaluation } from "./evaluation.js";

/** Writes README.md into a folder that has an `evaluation.json`; returns its path. Errors: see `readEvaluation`. */
export async function writeCard(folder: string, options?: CardOptions): Promise<string> {
  const evaluation = await readEvaluation(join(folder, evaluationFileName));
  return await writeText(join(folder, "README.md"), renderCard(evaluation, options));
}

/** Writes report.html into a folder that has an `evaluation.json`; returns its path. Errors: see `readEvaluation`. */
export async function writeReport(folder: string): Promise<string> {
  const evaluation = await readEvaluation(join(folder, evaluationFileName));
  // Drawing takes a while to load, which commands that draw nothing need not wait for.
  const { renderReport } = await import("./report.js");
  return await writeText(join(folder, "report.html"), renderReport(evaluation));
}

async function writeText(path: string, text: string): Promise<string> {
  const bytes = Buffer.from(text);
  const output = await OutputFile.create(path, bytes.byteLength);
  try {
    await output.write(0, bytes);
    await output.commit();
  } finally {
    await output.discard();
  }
  return path;
}
