/** Files of what was measured on a model, dropped on the page. */
import { curvesFormat, readCurves } from "../../budget/curves-file.js";
import { readSensitivity, sensitivityFormat } from "../../budget/sensitivity/file.js";
import { isJsonObject, readJson } from "../../bytes/json.js";
import { MalformedInputError } from "../../errors.js";
import { quantizableNames } from "../../recipe/quantizable.js";
import type { ExplorableModel } from "../explorable-model.js";
import type { Knowledge } from "../explorer.js";
import { BlobSource } from "./sources.js";

/** Larger files are none of these. */
const largestFile = 64 * 2 ** 20;

/** Sensitivities or error curves. Throws a MalformedInputError for other files, a UsageError for another model's. */
export async function readMeasurement(file: File, { tensors }: ExplorableModel): Promise<Knowledge> {
  const source = new BlobSource(file);
  const content = await readJson(source, largestFile);
  const format = isJsonObject(content) ? content.get("format") : undefined;
  const model = { fingerprints: undefined, names: quantizableNames(tensors) };
  if (format === sensitivityFormat) {
    return { sensitivity: await readSensitivity(source, model) };
  }
  if (format === curvesFormat) {
    return { curves: await readCurves(source, model) };
  }
  throw new MalformedInputError(
    `${file.name}: is neither what “lopsided sensitivity” nor what “lopsided plan --curves” writes; drop one of these, or a GGUF file.`,
  );
}
