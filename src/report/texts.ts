/** What the card and the report say of each evaluation text: every variant's divergence, and paired differences. */
import { type PairedDifference, pairedDifference } from "../evaluate/paired.js";
import { worstText } from "../evaluate/worst-text.js";
import type { Evaluation, TextMeasurement, Variant } from "./evaluation.js";
import { percent, withError } from "./facts.js";

/** Variants that were compared with the source on several texts. */
export function variantsByText({ variants }: Evaluation): Variant[] {
  return variants.filter(({ measurement }) => (measurement?.texts?.length ?? 0) > 1 && measurement?.kld);
}

/** The text that the quantized model does worst on; undefined for one text. */
export function worstOf(variant: Variant | undefined): TextMeasurement | undefined {
  return worstText(variant?.measurement?.texts ?? []);
}

/** A table of texts: the head, and the rows, the last one of all texts together. */
export function textsTable(evaluation: Evaluation): { readonly head: string[]; readonly rows: string[][] } {
  const variants = variantsByText(evaluation);
  const quantized = variants.find(({ id }) => id === "quantized") ?? variants[0];
  const others = variants.filter((variant) => variant !== quantized);
  const worst = worstOf(quantized)?.name;
  const head = [
    "text",
    "scored tokens",
    ...variants.flatMap(({ label }) => [`${label}: KLD`, "perplexity / source's", "same top token"]),
    ...others.map(({ label }) => `KLD − ${label}'s (95 %)`),
  ];
  const names = quantized?.measurement?.texts?.map(({ name }) => name) ?? [];
  const rows = names.map((name) => {
    const ofText = variants.map((variant) => textOf(variant, name));
    return [
      name === worst ? `${name} (worst)` : name,
      String(textOf(quantized, name)?.positions ?? 0),
      ...ofText.flatMap(figures),
      ...others.map((other) => differenceLine(differenceOn([name], quantized, other))),
    ];
  });
  const together = [
    "together",
    String(quantized?.measurement?.positions ?? 0),
    ...variants.flatMap(({ measurement }) => figures(measurement)),
    ...others.map((other) => differenceLine(differenceOn(names, quantized, other))),
  ];
  return { head, rows: [...rows, together] };
}

/** How the columns of the table are to be read. */
export const textsMethod =
  "KLD is the mean KL divergence from the source in nats, ± one standard error. Differences are paired by chunks, which both models were given: 95 of 100 measurements on as much other text of these kinds fall into the interval, and one that does not hold 0 is a difference, even where the standard errors of the two means overlap.";

/** The mean divergence of one variant minus another's, over the chunks of some texts. */
function differenceOn(
  names: readonly string[],
  first: Variant | undefined,
  second: Variant | undefined,
): PairedDifference | undefined {
  const chunksOf = (variant: Variant | undefined) =>
    names.map((name) => textOf(variant, name)?.perChunk ?? []);
  return pairedDifference(chunksOf(first), chunksOf(second), ({ kld }) => kld);
}

function textOf(variant: Variant | undefined, name: string): TextMeasurement | undefined {
  return variant?.measurement?.texts?.find((text) => text.name === name);
}

function figures(
  measured: Pick<TextMeasurement, "kld" | "pplRatio" | "pplRatioError" | "topAgreement"> | undefined,
): string[] {
  const { kld, pplRatio, pplRatioError, topAgreement } = measured ?? {};
  return [
    kld ? withError(kld.mean, kld.meanError, 6) : "–",
    pplRatio === undefined ? "–" : withError(pplRatio, pplRatioError, 5),
    topAgreement === undefined ? "–" : percent(topAgreement),
  ];
}

function differenceLine(difference: PairedDifference | undefined): string {
  return difference === undefined
    ? "–"
    : `${signed(difference.difference)} (${signed(difference.low)} to ${signed(difference.high)})`;
}

/** `+0.001234`, `−0.001234`. */
export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(6)}`;
}
