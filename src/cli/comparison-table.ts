import type { Evaluated } from "../make/evaluate.js";
import type { PreparedSource } from "../make/source.js";
import { formatTable } from "./table.js";

/** Source, baseline and model with size, perplexity and distance from the source. */
export function comparisonTable(source: PreparedSource, { model, baseline }: Evaluated): string {
  const { reference } = model.evaluation;
  const rows = [
    ["source", source.bpw.toFixed(2), String(source.bytes), plusMinus(reference?.ppl, reference?.pplError)],
    ...[baseline, model]
      .filter((variant) => variant !== undefined)
      .map(({ name, bpw, bytes, evaluation }) => [
        name,
        bpw.toFixed(2),
        String(bytes),
        plusMinus(evaluation.ppl, evaluation.pplError),
        percent((evaluation.pplRatio ?? Number.NaN) - 1),
        plusMinus(evaluation.kld?.mean, evaluation.kld?.meanError, 5),
        percent(evaluation.topAgreement ?? Number.NaN),
      ]),
  ];
  return [
    formatTable(["model", "bpw", "bytes", "PPL", "difference", "KLD", "top-1"], rows, [1, 2, 3, 4, 5, 6]),
    "",
    "PPL: perplexity on the evaluation text; KLD: mean KL divergence from the source, in nats;",
    "top-1: how often both find the same next token most likely.",
  ].join("\n");
}

function plusMinus(value = Number.NaN, error = Number.NaN, digits = 4): string {
  return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(2)} %`;
}
