/** What `plan` is given, for the first quantization that is measured and for the one that stays. */
import { budgetOptionsOf, type PlanOptions } from "../budget/plan-command.js";
import { scalesHeaderBytes } from "../scales/scales.js";
import type { Calibration } from "./calibrate.js";
import { encoderOptions, type MakeRun } from "./run.js";
import { wantsScales } from "./scales.js";
import type { PreparedSource, SourceFacts } from "./source.js";
import type { StageContext } from "./stages.js";

/** What a plan is made of, whatever it goes by. */
export interface PlanStep {
  /** For the fingerprint of a stage. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** All but the output. */
  readonly options: (stage: StageContext) => Omit<PlanOptions, "output">;
}

/** The plan of a run. */
export function planStep(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
): PlanStep {
  const { options, folder, engine } = run;
  const { priorWeight, effort, mtp, prune, padExperts } = options;
  const given = budgetOptionsOf(options);
  // How scales were fitted is said in the header afterwards.
  const room = wantsScales(options) ? scalesHeaderBytes : 0;
  const budget = { ...given, ...(given.size !== undefined && { size: given.size - room }) };
  return {
    inputs: {
      source: facts.identity,
      "importance matrix": calibration.imatrixSha256,
      ...calibration.inputsSha256,
      budget,
      experts: (prune ?? padExperts) ? [prune, padExperts] : undefined,
      effort,
      "prior weight": priorWeight,
      "layers that predict further tokens": mtp,
    },
    options: (stage) => ({
      ...encoderOptions(run, stage),
      ...budget,
      engine,
      model: source.quantizeFrom,
      imatrix: calibration.imatrix,
      priorWeight,
      mtp,
      prune,
      padExperts,
      ...(options.cache === undefined
        ? { errors: folder.workFile("errors.jsonl") }
        : { cache: options.cache }),
      effort,
      ...calibration.inputs,
    }),
  };
}
