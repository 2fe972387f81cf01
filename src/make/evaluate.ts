/** The stages `evaluate` and `baseline`: how far the model, and a common quantization, are from the source. */
import { rm } from "node:fs/promises";
import { sha256OfFile } from "../bytes/sha256.js";
import { mirroredVersion } from "../engine/native.js";
import { type PerplexityResult, perplexity } from "../evaluate/measure.js";
import { openModel } from "../model/open.js";
import { type ModelSummary, summarize, tensorsWithRoles } from "../model/summary.js";
import { type QuantizeResult, quantize } from "../quantize/quantize.js";
import type { CheckResult } from "../tasks/check.js";
import type { NamedText } from "../text/named-text.js";
import { identityOf } from "../write/fingerprint.js";
import type { Calibration } from "./calibrate.js";
import type { Encoded } from "./encoded.js";
import { baselineOf } from "./options.js";
import { cacheOptions, engineOptions, type MakeRun, queueOptionsOf, writeOptions } from "./run.js";
import type { PreparedSource, SourceFacts } from "./source.js";
import type { StageContext } from "./stages.js";
import { taskCheck } from "./tasks.js";

/** A model that was compared with the source. */
export interface Compared extends ModelSummary {
  readonly name: string;
  /** Size of its files. */
  readonly bytes: number;
  readonly evaluation: PerplexityResult;
}

/** An evaluation text. */
export interface EvaluatedFile extends NamedText {
  readonly sha256: string;
}

export interface Evaluated {
  readonly texts: readonly EvaluatedFile[];
  readonly model: Compared;
  readonly baseline:
    | (Compared & { readonly isBuilt: boolean; readonly tasks: CheckResult | undefined })
    | undefined;
}

/** Measures the model and the baseline on texts, or nothing if there are none. Errors: see `perplexity`. */
export async function evaluate(
  run: MakeRun,
  facts: SourceFacts,
  source: PreparedSource,
  calibration: Calibration,
  encoded: Encoded,
): Promise<Evaluated | undefined> {
  const { options, stages } = run;
  const { evaluation, evaluateChunks: chunks } = run.texts;
  if (evaluation === undefined) {
    return undefined;
  }
  const texts: EvaluatedFile[] = [];
  for (const named of evaluation) {
    texts.push({ ...named, sha256: await sha256OfFile(named.path, options.signal) });
  }
  const { ctxEvaluate: ctx, parseSpecial = false } = options;
  const text = texts.map(({ name, path }) => `${name}=${path}`);
  const inputs = {
    source: facts.identity,
    "evaluation texts": texts.map(({ name, sha256 }) => [name, sha256]),
    "evaluation chunks": [ctx, chunks, parseSpecial],
    // Texts are told from it.
    "importance matrix": calibration.imatrixSha256,
    "llama.cpp": mirroredVersion,
  };
  const measure = async (stage: StageContext, model: string, imatrix?: string, floor = false) =>
    await perplexity({
      ...engineOptions(run, stage),
      ...queueOptionsOf(run),
      model,
      imatrix,
      floor,
      reference: source.runnable,
      text,
      ctx,
      chunks,
      parseSpecial,
    });
  const model = await stages.run({
    name: "evaluate",
    inputs: { ...inputs, model: encoded.sha256 },
    run: async (stage): Promise<Compared> => ({
      name: encoded.variant,
      ...(await summaryOf(encoded.result.output)),
      evaluation: await measure(stage, encoded.result.output, calibration.imatrix, true),
    }),
  });
  const baseline = await evaluateBaseline(run, source, calibration, inputs, measure);
  return { texts, model: model.result, baseline };
}

async function evaluateBaseline(
  run: MakeRun,
  source: PreparedSource,
  calibration: Calibration,
  common: Readonly<Record<string, unknown>>,
  measure: (stage: StageContext, model: string, imatrix?: string) => Promise<PerplexityResult>,
): Promise<Evaluated["baseline"]> {
  const { options, folder, stages } = run;
  const baseline = await baselineOf(options);
  if (baseline.kind === "none") {
    return undefined;
  }
  const isBuilt = baseline.kind === "mixture";
  const name = isBuilt ? baseline.name : baseline.path;
  const identity = {
    source: common.source,
    baseline: isBuilt ? [name, options.priorWeight] : await identityOfFile(name),
    "importance matrix": isBuilt ? calibration.imatrixSha256 : undefined,
  };
  const inputs = { ...common, ...identity };
  const path = isBuilt ? folder.workFile(`baseline-${name}.gguf`) : name;
  const checked = await taskCheck(run, { stage: "check baseline", model: path, identity });
  // A baseline that was measured and removed is not built again.
  const isNeeded = !stages.isFinished("baseline", inputs) || checked?.isFinished() === false;
  if (isBuilt && isNeeded) {
    await buildBaseline(run, source, calibration, name, path, identity);
  }
  const done = await stages.run({
    name: "baseline",
    inputs,
    run: async (stage): Promise<Compared> => ({
      name,
      ...(await summaryOf(path)),
      evaluation: await measure(stage, path, isBuilt ? calibration.imatrix : undefined),
    }),
  });
  const tasks = await checked?.run();
  if (isBuilt) {
    await folder.state.forget("baseline model");
    await rm(path, { force: true });
  }
  return { ...done.result, isBuilt, tasks };
}

/** Builds one of llama.cpp's mixtures with the same importance matrix, in the work folder. */
async function buildBaseline(
  run: MakeRun,
  source: PreparedSource,
  { imatrix }: Calibration,
  recipe: string,
  output: string,
  inputs: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { priorWeight, mtp: mode } = run.options;
  const { quantizeFrom: model } = source;
  // Compared with the model's file alone.
  const mtp = mode === "separate" ? "drop" : mode;
  await run.stages.run({
    name: "baseline model",
    inputs: {
      source: inputs.source,
      recipe,
      "importance matrix": inputs["importance matrix"],
      priorWeight,
      mtp,
    },
    run: async (stage): Promise<QuantizeResult> =>
      await quantize({
        ...writeOptions(run, stage),
        ...queueOptionsOf(run),
        ...cacheOptions(run),
        ...{ model, output, recipe, imatrix, priorWeight, mtp, allowRequantize: true },
      }),
    files: ({ files = [] }) => files,
  });
}

async function summaryOf(path: string): Promise<ModelSummary & { bytes: number }> {
  const source = await openModel(path);
  try {
    return { bytes: source.byteLength, ...summarize(tensorsWithRoles(source)) };
  } finally {
    await source.close();
  }
}

async function identityOfFile(path: string): Promise<string> {
  const source = await openModel(path);
  try {
    return await identityOf(source);
  } finally {
    await source.close();
  }
}
