/** What `perplexity` prints. */
import type { PerplexityResult } from "../evaluate/measure.js";
import type { RoutingOfLayer } from "../evaluate/routing.js";
import { worstText } from "../evaluate/worst-text.js";
import { floorSentence, percent } from "../report/facts.js";
import { formatCount, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<PerplexityResult> = { lines: describe };

function describe(result: PerplexityResult): readonly string[] {
  const { ppl, pplError, chunks, positions, seconds, tokensPerSecond } = result;
  const lines = [
    `perplexity ${ppl.toFixed(4)} ± ${pplError.toFixed(4)} (${chunks} chunks, ${positions} scored tokens, ${formatDuration(seconds)}, ${formatCount(tokensPerSecond)} tokens/s)`,
  ];
  const rows = comparison(result);
  if (rows.length > 0) {
    lines.push("", ...formatTable(["against the reference", "", "±"], rows, [1, 2]));
  }
  if (result.floor) {
    lines.push("", floorSentence(result.floor));
  }
  if (result.context >= longContext) {
    lines.push("", ...positionsTable(result.byPosition));
  }
  if (result.routing) {
    lines.push("", ...routingTable(result.routing));
    if (result.floor?.sameExperts !== undefined) {
      lines.push(`The floor of "same experts" is ${percent(result.floor.sameExperts)}.`);
    }
  }
  if (result.texts.length > 1) {
    lines.push("", ...textsTable(result.texts));
  }
  return lines;
}

/** From this length of chunks on it is shown what becomes of a long context. */
const longContext = 2048;

function positionsTable(ranges: PerplexityResult["byPosition"]): readonly string[] {
  return formatTable(
    ["tokens before", "tokens", "PPL", "KLD, mean"],
    ranges.map(({ from, to, positions, nll, kld }) => [
      `${from} to ${to - 1}`,
      String(positions),
      Math.exp(nll).toFixed(4),
      kld?.toFixed(6) ?? "",
    ]),
    [0, 1, 2, 3],
  );
}

/** Where routers choose otherwise than the reference's. */
function routingTable(routing: readonly RoutingOfLayer[]): readonly string[] {
  return formatTable(
    ["router of layer", "same experts", "shared experts", "moved probability"],
    routing.map(({ layer, sameExperts, sharedExperts, movedProbability }) => [
      String(layer),
      percent(sameExperts),
      percent(sharedExperts),
      movedProbability === undefined ? "" : percent(movedProbability),
    ]),
    [0, 1, 2, 3],
  );
}

/** One row for each text; the worst is the one with the largest mean divergence. */
function textsTable(texts: PerplexityResult["texts"]): readonly string[] {
  const worst = worstText(texts);
  return formatTable(
    ["text", "tokens", "PPL", "±", "PPL ratio", "KLD, mean", "±", "top-1", ""],
    texts.map((text) => [
      text.name,
      String(text.positions),
      text.ppl.toFixed(4),
      text.pplError.toFixed(4),
      text.pplRatio?.toFixed(5) ?? "",
      text.kld?.mean.toFixed(6) ?? "",
      text.kld?.meanError.toFixed(6) ?? "",
      text.topAgreement === undefined ? "" : percent(text.topAgreement),
      text === worst ? "worst" : "",
    ]),
    [1, 2, 3, 4, 5, 6, 7],
  );
}

function comparison({
  reference,
  pplRatio,
  pplRatioError,
  kld,
  topAgreement,
  topAgreementError,
  deltaP,
}: PerplexityResult): string[][] {
  if (reference === undefined || kld === undefined || deltaP === undefined) {
    return [];
  }
  const thousandths = (fraction = Number.NaN) => percent(fraction, 3);
  const nats = (value: number) => value.toFixed(6);
  return [
    ["perplexity of the reference", reference.ppl.toFixed(4), reference.pplError.toFixed(4)],
    ["perplexity ratio", (pplRatio ?? Number.NaN).toFixed(6), (pplRatioError ?? Number.NaN).toFixed(6)],
    ["KLD, mean", nats(kld.mean), nats(kld.meanError)],
    ["KLD, median", nats(kld.median), ""],
    ["KLD, 90th percentile", nats(kld.p90), ""],
    ["KLD, 99th percentile", nats(kld.p99), ""],
    ["KLD, 99.9th percentile", nats(kld.p999), ""],
    ["KLD, maximum", nats(kld.max), ""],
    ["top-1 agreement", thousandths(topAgreement), thousandths(topAgreementError)],
    ["delta p, mean", thousandths(deltaP.mean), thousandths(deltaP.meanError)],
    ["delta p, RMS", thousandths(deltaP.rms), thousandths(deltaP.rmsError)],
    ["delta p, 5th percentile", thousandths(deltaP.p5), ""],
    ["delta p, 95th percentile", thousandths(deltaP.p95), ""],
  ];
}
