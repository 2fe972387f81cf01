/** The stages `memory` and `record`: all that was found, in `evaluation.json`. */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { shownName } from "../bytes/address.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { mirroredVersion } from "../engine/native.js";
import { isConversations } from "../generate/rendered-conversations.js";
import { measureMemoryTable } from "../memory/memory-table.js";
import { openModel } from "../model/open.js";
import { summarize } from "../model/summary.js";
import type { QuantizedTensor } from "../quantize/quantize.js";
import { loadRecipe } from "../recipe/presets.js";
import {
  type Evaluation,
  evaluationFileName,
  evaluationFormat,
  renderEvaluation,
} from "../report/evaluation.js";
import { describeOrigin } from "../report/origin.js";
import type { CheckResult } from "../tasks/check.js";
import { lengthRatio } from "../tasks/habits.js";
import { version } from "../version.js";
import type { Calibration } from "./calibrate.js";
import type { Encoded } from "./encoded.js";
import type { Evaluated } from "./evaluate.js";
import type { MakeRun } from "./run.js";
import type { SourceFacts } from "./source.js";
import type { Checked } from "./tasks.js";
import type { ChosenTypes } from "./types.js";

/** All that the stages before found. */
export interface Findings {
  readonly facts: SourceFacts;
  readonly calibration: Calibration;
  readonly types: ChosenTypes;
  readonly encoded: Encoded;
  readonly evaluated: Evaluated | undefined;
  readonly checked: Checked | undefined;
}

export interface Recorded {
  /** Path of `evaluation.json`, and its SHA-256. */
  readonly path: string;
  readonly sha256: string;
}

/** Writes `evaluation.json`. */
export async function record(run: MakeRun, findings: Findings): Promise<Recorded> {
  const { folder, stages } = run;
  const text = renderEvaluation(await evaluationOf(run, findings));
  const path = folder.file(evaluationFileName);
  const done = await stages.run({
    name: "record",
    inputs: { findings: text },
    run: async () => await writeTextFile(path, text),
    files: () => [{ path }],
  });
  return { path, sha256: done.sha256[0] ?? "" };
}

async function evaluationOf(run: MakeRun, findings: Findings): Promise<Evaluation> {
  const { options } = run;
  const { facts, calibration, types, encoded, evaluated, checked } = findings;
  const { result } = encoded;
  const { effort = "default", parseSpecial = false, priorWeight } = options;
  const text = run.texts.calibration;
  const { chunks, tokens, coverage } = calibration.result;
  const plan = types.plan;
  return {
    format: evaluationFormat,
    name: encoded.name,
    variant: encoded.variant,
    command: (options.command ?? "").replaceAll(options.model, shownName(facts.model)),
    tools: { lopsided: version, llamaCpp: mirroredVersion, node: process.versions.node },
    source: {
      given: shownName(facts.model),
      bytes: facts.bytes,
      sha256: await sourceChecksums(result.output),
      parameters: facts.parameters,
      bpw: facts.bpw,
      architecture: facts.architecture,
      ...describeOrigin(facts.model, facts.metadata),
    },
    recipe: {
      name: (await loadRecipe(types.recipe)).name,
      text: await readFile(types.recipe, "utf8"),
      ...(plan && { plan }),
    },
    options: {
      effort,
      moments: effort === "max",
      ...(encoded.scales && { scales: true }),
      ...(priorWeight !== undefined && { priorWeight }),
    },
    calibration: {
      name: text.name,
      sha256: calibration.textSha256,
      chunks,
      context: tokens / chunks,
      tokens,
      parseSpecial: text.parseSpecial || isConversations(text.path),
    },
    ...(evaluated && { evaluations: evaluatedTexts(parseSpecial, evaluated) }),
    ...(checked && { tasks: checked.model.taskSet, checks: checked.model.tasks }),
    output: result,
    files: filesOf(run, [
      "quantize",
      "scales",
      "imatrix",
      plan === undefined ? "recipe" : "plan",
      "explorer",
    ]),
    groups: summarize(result.tensors.map((tensor) => ({ ...tensor, type: tensor.to }))).groups,
    tensors: result.tensors.map(withFiniteError),
    coverage,
    variants: variantsOf(findings),
    memory: await memoryTable(run, encoded),
  };
}

/** What the model file says of the source that it was made from. */
async function sourceChecksums(model: string): Promise<string[]> {
  const { metadata, close } = await openModel(model);
  await close();
  const value = metadata.get("lopsided.source.sha256");
  return value?.type === "array" && value.itemType === "string" ? [...value.value] : [];
}

function evaluatedTexts(parseSpecial: boolean, { texts, model }: Evaluated) {
  const { context, texts: measured } = model.evaluation;
  return texts.map(({ name, path, sha256 }, at) => {
    const chunks = measured[at]?.chunks ?? 0;
    const readsSpecial = parseSpecial || isConversations(path);
    return { name, sha256, chunks, context, tokens: chunks * context, parseSpecial: readsSpecial };
  });
}

/** Files of the result that these stages left; the card and the report follow from the evaluation. */
function filesOf({ folder }: MakeRun, stages: readonly string[]): Evaluation["files"] {
  return stages
    .flatMap((stage) => folder.state.finished(stage)?.files ?? [])
    .filter(({ path }) => path === basename(path))
    .map(({ path, bytes, sha256 }) => ({ name: path, bytes, sha256 }));
}

function withFiniteError(tensor: QuantizedTensor): Evaluation["tensors"][number] {
  const { relativeError, ...rest } = tensor;
  return relativeError !== undefined && Number.isFinite(relativeError) ? tensor : rest;
}

function variantsOf({ facts, encoded, evaluated, checked }: Findings): Evaluation["variants"] {
  const { model, baseline } = evaluated ?? {};
  const source = { bytes: facts.bytes, bpw: facts.bpw, measurement: model?.evaluation.reference };
  const theirs = checked?.source;
  const own = { bytes: encoded.result.bytes, bpw: encoded.result.bpw, measurement: model?.evaluation };
  return [
    { id: "source", label: "source", ...source, ...taskFigures(theirs, undefined) },
    ...(baseline ? [{ id: "baseline" as const, ...baselineVariant(baseline, theirs) }] : []),
    { id: "quantized", label: encoded.variant, ...own, ...taskFigures(checked?.model, theirs) },
  ];
}

/** How a variant did at the tasks, and how long its answers are beside the source's. */
function taskFigures(own: CheckResult | undefined, source: CheckResult | undefined) {
  return {
    tasks: own?.rates,
    habits: own?.habits,
    length: own && source && lengthRatio(own.tasks, source.tasks),
  };
}

function baselineVariant(
  { name, bytes, bpw, evaluation, tasks }: NonNullable<Evaluated["baseline"]>,
  source: CheckResult | undefined,
) {
  const label = basename(name, ".gguf");
  return { label, bytes, bpw, measurement: evaluation, ...taskFigures(tasks, source) };
}

async function memoryTable(
  { stages, engine }: MakeRun,
  { result, sha256 }: Encoded,
): Promise<Evaluation["memory"]> {
  const done = await stages.run({
    name: "memory",
    inputs: { model: sha256, "llama.cpp": mirroredVersion },
    run: async () => await measureMemoryTable({ model: result.output, engine }),
  });
  return done.result;
}
