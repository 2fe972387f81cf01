/** Whether what effort max collects of a layer's inputs can be dropped when the layer is encoded, and whether it must be kept. */
import { planSweep, runsInWindows } from "../activations/window-plan.js";
import type { MaxEffortFacts } from "../imatrix/max-effort.js";
import type { ModelSource } from "../model/source.js";

/** What is to become of the model besides its types. */
export interface WantedOutput {
  /** Some experts are dropped. */
  readonly dropsExperts: boolean;
  /** The layers that predict further tokens get a file of their own. */
  readonly hasSecondFile: boolean;
}

/** Why all of it must be kept, if it must, and whether the model is run in windows of layers in any case. */
export function waysToKeep(
  source: ModelSource,
  path: string,
  { dropsExperts, hasSecondFile }: WantedOutput,
): Pick<MaxEffortFacts, "mustKeepBecause" | "isInWindows"> {
  if (!runsInWindows(source)) {
    return { mustKeepBecause: "its layers cannot be run by themselves" };
  }
  const isInWindows = planSweep(source, path, { needsOutput: false }).windows !== undefined;
  if (dropsExperts) {
    return { isInWindows, mustKeepBecause: "what all experts add decides which of them stay" };
  }
  return hasSecondFile
    ? { isInWindows, mustKeepBecause: "the layers that predict further tokens have a file of their own" }
    : { isInWindows };
}
