/** What `make` and `demo` end with: source, baseline and result side by side. */

import { pairedDifference } from "../evaluate/paired.js";
import { worstText } from "../evaluate/worst-text.js";
import type { Compared, Evaluated } from "../make/evaluate.js";
import type { PreparedSource } from "../make/source.js";
import { floorSentence, percent } from "../report/facts.js";
import { plusMinus } from "../units.js";
import { formatTable } from "./table.js";

/** Source, baseline and model with size, perplexity and distance from the source. */
export function comparisonTable(source: PreparedSource, { model, baseline }: Evaluated): readonly string[] {
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
    ...formatTable(["model", "bpw", "bytes", "PPL", "difference", "KLD", "top-1"], rows, [1, 2, 3, 4, 5, 6]),
    "",
    "PPL: perplexity on the evaluation text; KLD: mean KL divergence from the source, in nats;",
    "top-1: how often both find the same next token most likely.",
    ...(model.evaluation.floor ? [floorSentence(model.evaluation.floor)] : []),
    ...(model.evaluation.texts.length > 1 ? ["", ...textsTable(model, baseline)] : []),
  ];
}

/** The divergence on each text, and the paired difference from the baseline's. */
function textsTable(model: Compared, baseline: Compared | undefined): readonly string[] {
  const { texts } = model.evaluation;
  const worst = worstText(texts);
  const rows = texts.map((text, at) => {
    const other = baseline?.evaluation.texts[at];
    const paired = other && pairedDifference([text.perChunk], [other.perChunk], ({ kld }) => kld);
    return [
      text === worst ? `${text.name} (worst)` : text.name,
      String(text.positions),
      plusMinus(text.kld?.mean, text.kld?.meanError, 5),
      ...(other ? [plusMinus(other.kld?.mean, other.kld?.meanError, 5)] : []),
      ...(paired ? [`${paired.low.toFixed(5)} to ${paired.high.toFixed(5)}`] : []),
    ];
  });
  const compared = baseline ? [baseline.name, "difference, 95 %"] : [];
  return formatTable(["KLD by text", "tokens", model.name, ...compared], rows, [1, 2, 3, 4]);
}
