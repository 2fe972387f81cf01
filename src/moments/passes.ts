/** Passes over the text: which there are, which an earlier run has done, and their files put together. */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { LopsidedError, UsageError } from "../errors.js";
import type { WindowRange } from "../model/layer-window.js";
import { layerOf } from "../model/roles.js";
import type { SourceTensor } from "../model/source.js";
import type { MomentsPass } from "./collect-job.js";
import { type MomentsCoverage, momentsCoverage } from "./coverage.js";
import { MomentsFile } from "./file.js";
import { mergeMomentsFiles } from "./merge.js";
import { cutIntoPasses, type MomentsOptions, planInputs } from "./plan.js";

/** Everything that the moments depend on. */
export interface MomentsRun extends MomentsOptions {
  readonly model: string;
  /** Stands for the contents of the model and the text. */
  readonly identity: string;
  readonly text: string;
  readonly context: number;
  readonly chunks: number | undefined;
  readonly parseSpecial: boolean;
  /** Path of the moments file. */
  readonly output: string;
  /** Bytes that sums may take. */
  readonly memory: number;
}

/**
 * The passes that a model's moments take: one for each window of layers, or none for a window without such inputs;
 * in one piece as many as the memory asks for. Throws a UsageError if the model has no such weights.
 */
export function planPasses(
  tensors: readonly SourceTensor[],
  run: MomentsRun,
  windows?: readonly WindowRange[],
): (MomentsPass | undefined)[] {
  const inputs = planInputs(tensors, run);
  if (inputs.length === 0) {
    throw new UsageError(`${run.model}: has none of the weights whose inputs' moments are wanted.`, {
      file: run.model,
    });
  }
  const isIn = ({ from, to, prediction = 0 }: WindowRange, layer = -1) =>
    layer >= from && layer < to + prediction;
  const groups = windows
    ? windows.map((range) => inputs.filter(({ weight }) => isIn(range, layerOf(weight))))
    : cutIntoPasses(inputs, run.memory);
  return groups.map((inputs, index) =>
    inputs.length === 0
      ? undefined
      : {
          inputs,
          output: `${run.output}.pass-${index}`,
          run: createHash("sha256")
            .update(JSON.stringify({ facts: run, inputs }))
            .digest("hex"),
        },
  );
}

/** Whether an earlier run has left the pass's file. */
export async function isDone({ output, run }: MomentsPass): Promise<boolean> {
  try {
    const file = await MomentsFile.open(output);
    await file.close();
    return file.run === run;
  } catch (error) {
    if (error instanceof LopsidedError) {
      return false;
    }
    throw error;
  }
}

/** Puts the passes' files together in the output, and removes them. */
export async function joinPasses(passes: readonly MomentsPass[], output: string): Promise<MomentsCoverage> {
  await mergeMomentsFiles(
    passes.map((pass) => pass.output),
    output,
  );
  for (const pass of passes) {
    await rm(pass.output, { force: true });
  }
  const file = await MomentsFile.open(output);
  await file.close();
  return momentsCoverage(file);
}
