/** The stage `scales`: with effort max, the scales of the routed experts are fitted when all is encoded. */
import { mirroredVersion } from "../engine/native.js";
import { defaultThreads } from "../engine/threads.js";
import type { QuantizeResult } from "../quantize/quantize.js";
import { fitCostsOf } from "../scales/fit-costs.js";
import { fittedLayersOf } from "../scales/fitted-layers.js";
import { type ScalesResult, scales } from "../scales/scales.js";
import type { Calibration } from "./calibrate.js";
import type { Encoded } from "./encoded.js";
import type { ResolvedMakeOptions } from "./make-command.js";
import { engineOptions, type MakeRun } from "./run.js";
import type { PreparedSource, SourceFacts } from "./source.js";

/** Whether scales are to be fitted where that can be done. */
export function wantsScales({ effort, scales }: ResolvedMakeOptions): boolean {
  return effort === "max" && scales;
}

/** Whether the scales will be fitted; says what that costs, or why it cannot be done. */
export function chooseScales(
  { options, stages }: MakeRun,
  { metadata, bytes }: SourceFacts,
  { tensors }: QuantizeResult,
): boolean {
  if (!wantsScales(options)) {
    return false;
  }
  const model = { metadata, tensors: tensors.map((tensor) => ({ ...tensor, type: tensor.to })) };
  const layers =
    options.mtp === "separate"
      ? "has a second file for the layers that predict further tokens"
      : fittedLayersOf(model);
  const { ctxCalibration, chunks, threads = defaultThreads() } = options;
  stages.chosen(
    "scales",
    typeof layers === "string"
      ? `left as they were encoded: the model ${layers}`
      : fitCostsOf({ tensors, byteLength: bytes }, layers, { tokens: ctxCalibration * chunks, threads })
          .sentence,
  );
  return typeof layers !== "string";
}

/** Writes the model with its new scales to `output`. Errors: see `scales`. */
export async function fitScalesOf(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
  encoded: Encoded,
  output: string,
): Promise<Encoded> {
  const { options, stages, texts } = run;
  const { ctxCalibration: ctx, chunks, splitMaxSize } = options;
  const { name: dataset, path, parseSpecial } = texts.calibration;
  const done = await stages.run({
    name: "scales",
    inputs: {
      source: facts.identity,
      model: encoded.sha256,
      "calibration text": calibration.textSha256,
      "calibration chunks": [ctx, chunks, parseSpecial],
      splitting: splitMaxSize,
      "llama.cpp": mirroredVersion,
      name: encoded.name,
    },
    run: async (stage): Promise<ScalesResult> =>
      await scales({
        ...engineOptions(run, stage),
        model: encoded.result.output,
        source: source.runnable,
        calibration: path,
        output,
        dataset,
        ctx,
        chunks,
        parseSpecial,
        splitMaxSize,
      }),
    files: ({ files }) => files,
  });
  const files = done.result.files.map((file, i) => ({ ...file, sha256: done.sha256[i] ?? "" }));
  const { sha256: _, ...rest } = encoded.result;
  const [only, ...others] = done.sha256;
  return {
    ...encoded,
    result: {
      ...rest,
      output: done.result.output,
      bytes: done.result.bytes,
      files,
      ...(others.length === 0 && { sha256: only }),
    },
    sha256: done.sha256.join(" "),
    scales: done.result,
  };
}
