/** `make`: from a source model to a folder that can be published, in one run that goes on after any interruption. */

import type { PlanResult } from "../budget/plan.js";
import type { SensitivityResult } from "../budget/sensitivity/measure.js";
import { Engine } from "../engine/engine.js";
import { memoryLimitBytes } from "../engine/limits.js";
import { CancelledError } from "../errors.js";
import type { ImatrixResult } from "../imatrix/compute.js";
import type { QuantizeResult } from "../quantize/quantize.js";
import type { VerifyResult } from "../quantize/verify.js";
import type { ScalesResult } from "../scales/scales.js";
import { calibrate, chooseInputs } from "./calibrate.js";
import { type Described, describe } from "./describe.js";
import { checkRoomFor } from "./disk-space.js";
import { checkTypes, encode, encodeLayerByLayer, verifyEncoded } from "./encode.js";
import { type Evaluated, evaluate } from "./evaluate.js";
import { exploreSource } from "./explorer.js";
import { MakeFolder } from "./folder.js";
import { type MakeOptions, makeCommand, type ResolvedMakeOptions } from "./make-command.js";
import { checkMakeOptions, withChunks } from "./options.js";
import { MakeProgress } from "./progress.js";
import { record } from "./record.js";
import type { MakeRun } from "./run.js";
import { type PreparedSource, prepareSource, readSource, type SourceFacts } from "./source.js";
import { plannedStages } from "./stage-durations.js";
import { type StageEvent, Stages, stopped } from "./stages.js";
import { type Checked, checkTasks } from "./tasks.js";
import { prepareTexts } from "./texts.js";
import { chooseRecipeTypes, copyRecipe } from "./types.js";

/** What each stage found; stages that were skipped say what they found when they were done. */
export interface MakeResult extends Described {
  /** The folder. */
  readonly output: string;
  /** First file of the model. */
  readonly model: string;
  readonly source: PreparedSource;
  readonly imatrix: ImatrixResult;
  readonly sensitivity?: SensitivityResult;
  readonly plan?: PlanResult;
  readonly quantize: QuantizeResult;
  /** Only with effort max, where the scales of the routed experts could be fitted. */
  readonly scales?: ScalesResult;
  readonly verify: VerifyResult;
  readonly evaluate?: Evaluated;
  readonly check?: Checked;
  /** The page of all sizes that the model could have. */
  readonly explorer?: { readonly output: string };
  /** Path of `evaluation.json`. */
  readonly record: { readonly output: string };
  /** Stages of which nothing had changed. */
  readonly skipped: readonly string[];
  readonly seconds: number;
}

/**
 * Makes the folder. A stage whose inputs are those of an earlier run is skipped; one that was interrupted goes on
 * where it was, as far as it keeps partial results. Errors: those of the stages; a UsageError if another process
 * works in the folder or options contradict each other.
 */
export async function make(given: MakeOptions): Promise<MakeResult> {
  const started = performance.now();
  const options = withChunks(makeCommand.read(given));
  await checkMakeOptions(options);
  const folder = await MakeFolder.open(options.output);
  const engine = new Engine();
  try {
    const facts = await readSource(options);
    const planned = await checkTypes(options, facts);
    await checkRoomFor(folder, options, facts, planned);
    warnOfSize(options, facts);
    const progress = new MakeProgress(plannedStages(options, facts), (event) => options.onProgress?.(event));
    const skipped: string[] = [];
    const onStage = (event: StageEvent) => {
      if (event.event === "skipped") {
        skipped.push(event.stage);
      }
      options.onStage?.(event);
      progress.stage(event);
    };
    const listener = { onStage, onProgress: progress.update };
    const stages = new Stages(folder, listener, options.signal);
    const texts = await prepareTexts(options, folder, facts);
    const result = await runStages({ options, folder, stages, engine, texts }, facts);
    await folder.state.forgetUnderWay();
    await folder.removeUnfinished(facts.name);
    return { ...result, skipped, seconds: (performance.now() - started) / 1000 };
  } catch (error) {
    // Between two stages, while files are hashed.
    const isUnexplained = error instanceof CancelledError && error.details.stage === undefined;
    throw isUnexplained ? stopped(undefined, error) : error;
  } finally {
    await engine.close();
    await folder.close();
  }
}

async function runStages(run: MakeRun, facts: SourceFacts): Promise<Omit<MakeResult, "skipped" | "seconds">> {
  const source = await prepareSource(run, facts);
  const { calibration, types, encoded } = await calibrateAndEncode(run, facts, source);
  const verified = await verifyEncoded(run, facts, source, encoded);
  const evaluated = await evaluate(run, facts, source, calibration, encoded);
  const checked = await checkTasks(run, facts, source, encoded);
  const explored = await exploreSource(run, { facts, source, calibration, types, encoded, evaluated });
  const recorded = await record(run, { facts, calibration, types, encoded, evaluated, checked });
  const described = await describe(run, recorded);
  return {
    output: run.folder.path,
    model: encoded.result.output,
    source,
    imatrix: calibration.result,
    ...(types.sensitivity && { sensitivity: types.sensitivity }),
    ...(types.plan && { plan: types.plan }),
    quantize: encoded.result,
    ...(encoded.scales && { scales: encoded.scales }),
    verify: verified,
    ...(evaluated && { evaluate: evaluated }),
    ...(checked && { check: checked }),
    ...(explored && { explorer: explored }),
    record: { output: recorded.path },
    ...described,
  };
}

/** Calibrates and then encodes, or encodes each layer when it has been run. */
async function calibrateAndEncode(run: MakeRun, facts: SourceFacts, source: PreparedSource) {
  const wanted = await chooseInputs(run, source);
  if (wanted?.keeps === false) {
    const types = await copyRecipe(run);
    return { types, ...(await encodeLayerByLayer(run, facts, source, wanted, types)) };
  }
  const calibration = await calibrate(run, facts, source, wanted);
  const types = await chooseRecipeTypes(run, facts, source, calibration);
  return { calibration, types, encoded: await encode(run, facts, source, calibration, types) };
}

function warnOfSize({ onWarning }: ResolvedMakeOptions, { bytes, model }: SourceFacts): void {
  const memory = memoryLimitBytes();
  if (bytes <= memory) {
    return;
  }
  onWarning?.(
    `${model}: its ${bytes} bytes are more than the ${memory} bytes of memory; it runs from the disk, which takes long.`,
  );
}
