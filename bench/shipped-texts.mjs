// The texts that ship with Lopsided, as `make` takes them by default: the calibration mix, and one of each kind.
import { join } from "node:path";
import { MakeFolder } from "../dist/make/folder.js";
import { prepareTexts } from "../dist/make/texts.js";
import { openModel } from "../dist/model/open.js";

/** Writes them into a folder, as a model's chat template has them: a path to calibrate on, and items of `perplexity`'s text. */
export async function shippedTexts(folder, model) {
  const { metadata, close } = await openModel(model);
  const made = await MakeFolder.open(join(folder, "texts"));
  const { calibration, evaluation } = await prepareTexts({ evaluateChunks: 1 }, made, { metadata, model });
  await made.close();
  await close();
  return {
    calibration: calibration.path,
    evaluation: evaluation.map(({ name, path }) => `${name}=${path}`),
  };
}
