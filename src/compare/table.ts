/** The rows of a comparison, as they are printed and as Markdown has them. */
import type { PairedDifference } from "../evaluate/paired.js";
import { meanRouting } from "../evaluate/routing.js";
import { floorSentence, percent } from "../report/facts.js";
import { signed } from "../report/texts.js";
import { plusMinus } from "../units.js";
import type { ComparedModel, CompareResult } from "./result.js";

/** One row for the source, one for each file: the whole of the comparison in numbers that are posted. */
export function comparisonRows({ source, models, floor }: CompareResult): {
  readonly head: string[];
  readonly rows: string[][];
} {
  const hasWorst = models.some(({ worst }) => worst !== undefined);
  const head = ["model", "bytes", "bpw", "PPL", "KLD mean", "median", "p99"];
  head.push(...(hasWorst ? ["worst text"] : []), "top-1", "same experts", "KLD − first's, 95 %");
  const sourceRow = [
    source.name,
    String(source.bytes),
    source.bpw.toFixed(2),
    plusMinus(source.ppl, source.pplError, 4),
  ];
  const floorRow = floor && [
    `${source.name} again (floor)`,
    ...["", "", ""],
    ...[plusMinus(floor.kld.mean, floor.kld.meanError, 6), floor.kld.median.toFixed(6)],
    floor.kld.p99.toFixed(5),
    ...(hasWorst ? [""] : []),
    ...[shareOf(floor.topAgreement), shareOf(floor.sameExperts), ""],
  ];
  return {
    head,
    rows: [
      [...sourceRow, ...head.slice(sourceRow.length).map(() => "")],
      ...(floorRow ? [floorRow] : []),
      ...models.map((model) => [
        model.name,
        String(model.bytes),
        model.bpw.toFixed(2),
        plusMinus(model.ppl, model.pplError, 4),
        model.kld ? plusMinus(model.kld.mean, model.kld.meanError, 6) : "",
        model.kld?.median.toFixed(6) ?? "",
        model.kld?.p99.toFixed(5) ?? "",
        ...(hasWorst ? [worstOf(model)] : []),
        shareOf(model.topAgreement),
        shareOf(meanRouting(model.routing)?.sameExperts),
        model.difference ? interval(model.difference) : "",
      ]),
    ],
  };
}

/** The mean divergence of each file on each text; undefined for one text. */
export function textRows({
  models,
}: CompareResult): { readonly head: string[]; readonly rows: string[][] } | undefined {
  const names = models[0]?.texts.map(({ name }) => name) ?? [];
  if (names.length < 2) {
    return undefined;
  }
  return {
    head: ["KLD mean by text", "scored tokens", ...models.map(({ name }) => name)],
    rows: names.map((name, at) => [
      name,
      String(models[0]?.texts[at]?.positions ?? 0),
      ...models.map(({ texts }) => {
        const kld = texts[at]?.kld;
        return kld ? plusMinus(kld.mean, kld.meanError, 6) : "";
      }),
    ]),
  };
}

/** What the figures are, in one paragraph. */
export function comparisonNote({ context, chunks, models, floor }: CompareResult): string {
  const positions = models[0]?.positions ?? 0;
  return `${chunks} chunks of ${context} tokens, ${positions} scored; KLD is the KL divergence from the source in nats, ± one standard error. Differences are paired by chunks: 95 of 100 measurements on as much other text of these kinds fall into the interval, and one without 0 is a difference. Same experts: the mean over layers of the share of tokens that are routed to the same experts as in the source.${floor ? ` ${floorSentence(floor)}` : ""}`;
}

function worstOf({ worst }: ComparedModel): string {
  return worst ? `${worst.name} ${worst.kld.toFixed(5)}` : "";
}

function interval({ low, high }: PairedDifference): string {
  return `${signed(low)} to ${signed(high)}`;
}

function shareOf(fraction: number | undefined): string {
  return fraction === undefined ? "" : percent(fraction);
}
