/**
 * The stage `sensitivity` with effort max: what the errors of a first quantization cost, on text that it was not
 * calibrated on. Noise would say what errors cost that nothing was fitted to.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { plan } from "../budget/plan.js";
import { fitsQuantized, type SensitivityResult, sensitivity } from "../budget/sensitivity/measure.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { mirroredVersion } from "../engine/native.js";
import { quantize } from "../quantize/quantize.js";
import type { Calibration } from "./calibrate.js";
import type { PlanStep } from "./plan-step.js";
import { cacheOptions, engineOptions, type MakeRun, queueOptionsOf, writeOptions } from "./run.js";
import type { PreparedSource, SourceFacts } from "./source.js";
import type { StageContext, StageDone } from "./stages.js";

/** So many times the chunks that noise is measured on: what one tensor's own error costs is less than noise does. */
export const solutionChunksFactor = 4;

/**
 * Makes a first quantization within the budget, with types by role and depth, measures it and removes it.
 * Undefined if the model does not fit in memory, where it is measured. Errors: those of `plan`, `quantize` and
 * `sensitivity`.
 */
export async function measureSolution(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
  step: PlanStep,
): Promise<StageDone<SensitivityResult> | undefined> {
  const { options, folder, stages, engine, texts } = run;
  const { heldOut } = texts;
  const { gpuLayers, gpuMemory, signal } = options;
  const fits = await fitsQuantized(source.runnable, { engine, gpuLayers, gpuMemory, signal });
  if (heldOut === undefined || !fits) {
    return undefined;
  }
  const { ctxCalibration: ctx, sensitivityChunks, priorWeight, onWarning } = options;
  const chunks = solutionChunksFactor * sensitivityChunks;
  const output = folder.workFile("sensitivity.json");
  const recipe = folder.workFile("first.yaml");
  const first = folder.workFile("first.gguf");
  stages.chosen(
    "sensitivity",
    `types are planned twice: by role and depth for a first quantization, then by what its errors cost on ${chunks} chunks of other text`,
  );
  return await stages.run({
    name: "sensitivity",
    inputs: {
      ...step.inputs,
      source: facts.identity,
      "held-out text": await sha256OfFile(heldOut.path, signal),
      chunks: [ctx, chunks, heldOut.parseSpecial],
      "llama.cpp": mirroredVersion,
    },
    run: async (stage: StageContext): Promise<SensitivityResult> => {
      // It has its name when it is whole.
      if (!stage.continues || !existsSync(first)) {
        await rm(first, { force: true });
        // The second round warns of the same.
        const onWarning = undefined;
        await plan({ ...step.options(stage), onWarning, output: recipe });
        await quantize({
          ...writeOptions(run, stage),
          ...cacheOptions(run),
          ...queueOptionsOf(run),
          onWarning,
          ...calibration.inputs,
          model: source.quantizeFrom,
          recipe,
          imatrix: calibration.imatrix,
          effort: "max",
          priorWeight,
          // All tensors of the source, so that each has its part in what is measured.
          mtp: "embed",
          allowRequantize: true,
          output: first,
        });
      }
      const result = await sensitivity({
        ...engineOptions(run, stage),
        onWarning,
        model: source.runnable,
        text: heldOut.path,
        parseSpecial: heldOut.parseSpecial,
        quantized: first,
        imatrix: calibration.imatrix,
        priorWeight,
        ctx,
        chunks,
        output,
      });
      await rm(first, { force: true });
      return result;
    },
    files: () => [{ path: output }],
  });
}
