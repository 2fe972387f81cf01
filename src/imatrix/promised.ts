/**
 * The importance matrix of a run over a text before the text is run: of which tensors it will have statistics, so that
 * types can be planned. What is promised and does not come is found when a window has been run.
 */
import { shownName } from "../bytes/address.js";
import { planPrediction, runTensors } from "../model/prediction-facts.js";
import { layerOf } from "../model/roles.js";
import { type ModelSource, rowCount } from "../model/source.js";
import { isQuantizable } from "../recipe/quantizable.js";
import type { Imatrix, ImatrixEntry } from "./imatrix.js";
import type { ImatrixOptions } from "./imatrix-command.js";

/**
 * The importance matrix that `imatrix` will come to with these options, as zeros: with an entry for every tensor of a
 * layer that is run and may be quantized.
 */
export function promisedImatrix(
  source: ModelSource,
  { output, text, dataset = text }: ImatrixOptions,
): Imatrix {
  const planned = planPrediction(source);
  const prediction = planned?.inWindows === false ? undefined : planned;
  const entries = new Map<string, ImatrixEntry>();
  for (const { name, shape } of runTensors(source, prediction)) {
    const [columns = 1, rows = 1, experts = 1] = shape;
    if (layerOf(name) !== undefined && isQuantizable(name, shape)) {
      entries.set(name, {
        sums: new Float32Array((columns * rowCount(shape)) / rows),
        counts: new Float64Array(/_(?:ch)?exps\.weight$/.test(name) ? experts : 1),
      });
    }
  }
  return {
    name: output,
    format: "gguf",
    entries,
    datasets: [shownName(dataset)],
    chunkCount: 1,
    chunkSize: 0,
    priorWeight: undefined,
  };
}
