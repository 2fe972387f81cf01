/** Passes over the text: which there are, which an earlier run has done, and their files put together. */
import { createHash } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { findModelFiles } from "../engine/limits.js";
import { LopsidedError, UsageError } from "../errors.js";
import { openModel } from "../model/open.js";
import type { MomentsPass } from "./collect-job.js";
import { type MomentsCoverage, momentsCoverage } from "./coverage.js";
import { MomentsFile } from "./file.js";
import { mergeMomentsFiles } from "./merge.js";
import { cutIntoPasses, type MomentsOptions, planInputs } from "./plan.js";

/** Everything that the moments depend on. */
export interface MomentsRun extends MomentsOptions {
  readonly model: string;
  readonly text: string;
  readonly context: number;
  readonly chunks: number | undefined;
  readonly parseSpecial: boolean;
  /** Path of the moments file. */
  readonly output: string;
  /** Bytes that sums may take. */
  readonly memory: number;
}

/** The passes that a model's moments take. Throws a UsageError if it has no such weights. */
export async function planPasses(run: MomentsRun): Promise<MomentsPass[]> {
  const source = await openModel(run.model);
  await source.close();
  const inputs = planInputs(source.tensors, run);
  if (inputs.length === 0) {
    throw new UsageError(`${run.model}: has none of the weights whose inputs' moments are wanted.`, {
      file: run.model,
    });
  }
  const facts = {
    ...run,
    files: await Promise.all([...findModelFiles(run.model).paths, run.text].map(describeFile)),
  };
  return cutIntoPasses(inputs, run.memory).map((inputs, index) => ({
    inputs,
    output: `${run.output}.pass-${index}`,
    run: createHash("sha256").update(JSON.stringify({ facts, inputs })).digest("hex"),
  }));
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

async function describeFile(path: string) {
  const { size, mtimeMs } = await stat(path);
  return { path: resolve(path), size, mtimeMs };
}
