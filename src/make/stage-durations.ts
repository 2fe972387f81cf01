/** How long the stages of a run take beside one another: a guess that makes one progress of all. */
import { memoryLimitBytes } from "../engine/limits.js";
import { addsExpertsPlainly } from "../model/expert-facts.js";
import type { ResolvedMakeOptions } from "./make-command.js";
import { buildsBaseline, hasBudget, measuresSolution } from "./options.js";
import type { PlannedStage } from "./progress.js";
import { wantsScales } from "./scales.js";
import { solutionChunksFactor } from "./solution.js";
import { isRunInPlace, type SourceFacts } from "./source.js";

/** Seconds of a machine with two cores, roughly; what was measured on the tiny model and on one large layer. */
const secondsPer = {
  /** One weight in one token. */
  decodedWeight: 4e-11,
  encodedWeight: { fast: 2e-8, default: 3e-8, fine: 6e-8, max: 3e-7 },
  verifiedWeight: 2e-9,
  hashedByte: 1e-9,
  memoryTable: 1,
  report: 1,
};

/** Tokens of all answers to the tasks; one after the other they cost more than those of a text. */
const answerTokens = 10_000;

/** Measurements for each tensor. */
const sensitivityLevels = 2;

/** Weights of each tensor, and types, of which errors are measured. */
const sampledWeights = 2 ** 18;
const sampledTypes = 18;

/** The stages of a run in their order. */
export function plannedStages(options: ResolvedMakeOptions, facts: SourceFacts): PlannedStage[] {
  const { effort, ctxCalibration, chunks, ctxEvaluate, evaluateChunks, baseline, sensitivityChunks } =
    options;
  const { parameters, activeParameters, bytes, groups, place } = facts;
  const isInPlace = isRunInPlace(facts);
  const decoding = (tokens: number) => tokens * activeParameters * secondsPer.decodedWeight;
  const encoding = parameters * secondsPer.encodedWeight[effort];
  // What ships takes about as long as one text.
  const textCount = options.evaluate ? options.evaluate.length : 1;
  const measuring = 2 * decoding(ctxEvaluate * evaluateChunks * textCount);
  const checking = decoding(answerTokens);
  const tensors = groups.reduce((sum, { count }) => sum + count, 0);
  const measured = decoding(ctxCalibration * sensitivityChunks);
  const sensitivity = measuresSolution(options)
    ? 1.5 * encoding + tensors * solutionChunksFactor * measured
    : tensors * sensitivityLevels * measured;
  // A plan has measured most of them.
  const curves = hasBudget(options)
    ? 0
    : Math.min(parameters, tensors * sampledWeights) * sampledTypes * secondsPer.encodedWeight.default;
  const measures = options.evaluate !== false;
  const checksTasks = options.check !== false;
  const stages: [string, number, boolean?][] = [
    ["source", place === "gguf" || isInPlace ? 0 : 10 * bytes * secondsPer.hashedByte],
    ["imatrix", decoding(ctxCalibration * chunks)],
    ["recipe", 0, !hasBudget(options)],
    ["sensitivity", sensitivity, hasBudget(options) && options.sensitivity !== false],
    ["plan", 0.5 * encoding, hasBudget(options)],
    ["quantize", encoding],
    [
      "scales",
      6 * decoding(ctxCalibration * chunks),
      wantsScales(options) && addsExpertsPlainly(facts.architecture),
    ],
    ["verify", parameters * secondsPer.verifiedWeight],
    ["evaluate", measuring, measures],
    ["baseline model", parameters * secondsPer.encodedWeight.default, buildsBaseline(options)],
    ["baseline", measuring, measures && baseline !== "none"],
    ["check baseline", checking, checksTasks && measures && baseline !== "none"],
    ["check", checking, checksTasks],
    ["check source", checking, checksTasks && !isInPlace && bytes <= memoryLimitBytes()],
    ["error curves", curves, options.explorer],
    ["explorer", secondsPer.report, options.explorer],
    ["memory", secondsPer.memoryTable],
    ["record", 0],
    ["card", 0],
    ["report", secondsPer.report],
  ];
  return stages.filter(([, , planned = true]) => planned).map(([name, weight]) => ({ name, weight }));
}
