/** The stages `check`, `check baseline` and `check source`: do the models still solve tasks? */
import { memoryLimitBytes } from "../engine/limits.js";
import { mirroredVersion } from "../engine/native.js";
import { type CheckResult, check } from "../tasks/check.js";
import { loadTasks } from "../tasks/load.js";
import type { Encoded } from "./encoded.js";
import { engineOptions, type MakeRun } from "./run.js";
import { isRunInPlace, type PreparedSource, type SourceFacts } from "./source.js";

export interface TaskCheck {
  /** Whether it was done before and nothing has changed. */
  isFinished(): boolean;
  run(): Promise<CheckResult>;
}

/** What is to be checked: a model's file, and what tells it from others. */
export interface CheckedModel {
  readonly stage: string;
  readonly model: string;
  readonly identity: Readonly<Record<string, unknown>>;
}

/** The stage that gives a model the tasks; undefined if the user does without. */
export async function taskCheck(run: MakeRun, checked: CheckedModel): Promise<TaskCheck | undefined> {
  const { options, stages } = run;
  const { tasks } = options;
  if (options.check === false) {
    return undefined;
  }
  const { stage: name, model, identity } = checked;
  const { sha256 } = await loadTasks(tasks);
  const inputs = { ...identity, tasks: sha256, "llama.cpp": mirroredVersion };
  return {
    isFinished: () => stages.isFinished(name, inputs),
    run: async () => {
      const done = await stages.run({
        name,
        inputs,
        run: async (stage): Promise<CheckResult> => {
          const { onWarning: _, ignoreMemoryLimit: __, ...common } = engineOptions(run, stage);
          return await check({ ...common, model, tasks });
        },
      });
      return done.result;
    },
  };
}

export interface Checked {
  readonly model: CheckResult;
  /** Not if it is too large for the memory, or no file: it would be read anew for every token. */
  readonly source: CheckResult | undefined;
}

/** Gives the model and its source the tasks. Errors: see `check`. */
export async function checkTasks(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  encoded: Encoded,
): Promise<Checked | undefined> {
  const ours = await taskCheck(run, {
    stage: "check",
    model: encoded.result.output,
    identity: { model: encoded.sha256 },
  });
  if (ours === undefined) {
    return undefined;
  }
  const model = await ours.run();
  if (isRunInPlace(facts) || facts.bytes > memoryLimitBytes()) {
    return { model, source: undefined };
  }
  const theirs = await taskCheck(run, {
    stage: "check source",
    model: source.runnable,
    identity: { source: facts.identity },
  });
  return { model, source: await theirs?.run() };
}
