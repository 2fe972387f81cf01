/** How many tokens each expert saw: thin statistics make bad low-bit experts. */
import { fewTokensPerDimension } from "../moments/coverage.js";
import { fewTokensPerColumn } from "../quants/output-aware/pooled-moments.js";
import type { Imatrix } from "./imatrix.js";
import { thinExpertTokens } from "./rare-experts.js";

/** Coverage of the experts of one tensor. */
export interface ExpertCoverage {
  readonly tensor: string;
  /** Number of experts. */
  readonly experts: number;
  /** Dimensions of an expert's input. */
  readonly columns: number;
  /** Number of experts that saw no token at all. */
  readonly unseen: number;
  /** Tokens that the least and the most visited expert saw. */
  readonly fewest: number;
  readonly most: number;
  /** Tokens for each dimension of the input: of the least visited expert, and the median expert's. */
  readonly fewestPerDimension: number;
  readonly medianPerDimension: number;
  /** Tokens of every expert. */
  readonly tokens: readonly number[];
}

/** Coverage of every tensor with counts per expert, in the order of its layers; empty for a `.dat` file. */
export function expertCoverage(imatrix: Imatrix): ExpertCoverage[] {
  return [...imatrix.entries]
    .filter(([, { counts }]) => counts.length > 1)
    .map(([tensor, { sums, counts }]) => coverageOf(tensor, sums.length / counts.length, [...counts]))
    .sort((a, b) => a.tensor.localeCompare(b.tensor, "en", { numeric: true }));
}

function coverageOf(tensor: string, columns: number, tokens: readonly number[]): ExpertCoverage {
  const fewest = tokens.reduce((least, count) => Math.min(least, count), Infinity);
  return {
    tensor,
    experts: tokens.length,
    columns,
    unseen: tokens.filter((count) => count === 0).length,
    fewest,
    most: tokens.reduce((most, count) => Math.max(most, count), 0),
    fewestPerDimension: fewest / columns,
    medianPerDimension: median(tokens) / columns,
    tokens,
  };
}

/** Of all experts' tokens per dimension, those of gate and up (the widest inputs): the least, and the median. */
export function tokensPerDimension(
  coverage: readonly Pick<ExpertCoverage, "tensor" | "columns" | "tokens">[],
): { readonly fewest: number; readonly median: number } | undefined {
  const all = coverage
    .filter(({ tensor }) => !tensor.includes("ffn_down"))
    .flatMap(({ columns, tokens }) => tokens.map((count) => count / columns));
  return all.length === 0
    ? undefined
    : { fewest: all.reduce((least, value) => Math.min(least, value)), median: median(all) };
}

/** What so many tokens per dimension mean for `effort: "max"`. */
export function meaningOf(tokensPerDimension: number): string {
  if (tokensPerDimension >= fewTokensPerColumn) {
    return `enough (${fewTokensPerColumn} or more): for effort max experts' moments stand on their own`;
  }
  const mixed = "effort max mixes experts' moments with those of the layer's other tokens; more text";
  return tokensPerDimension < fewTokensPerDimension
    ? `few (under ${fewTokensPerDimension}): ${mixed} gains much`
    : `some (under ${fewTokensPerColumn}): ${mixed} still gains`;
}

/** The middle one of sorted values, the upper of two. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** A warning with advice if experts saw too few tokens, or undefined if all is well. */
export function coverageWarning(imatrix: Imatrix): string | undefined {
  const coverage = expertCoverage(imatrix);
  const thin = coverage.flatMap(({ tokens }) => tokens.filter((count) => count < thinExpertTokens));
  if (thin.length === 0) {
    return undefined;
  }
  const unseen = thin.filter((count) => count === 0).length;
  const total = coverage.reduce((sum, { experts }) => sum + experts, 0);
  const worst = coverage.reduce((a, b) => (b.fewest < a.fewest ? b : a));
  return `${thin.length} of ${total} experts saw fewer than ${thinExpertTokens} tokens${unseen > 0 ? `, ${unseen} of them none` : ""} (fewest in ${worst.tensor}: ${worst.fewest}). Their columns will be weighted by guesswork. ${advice(imatrix, worst)}`;
}

function advice(imatrix: Imatrix, worst: ExpertCoverage): string {
  const prior = "or let the other experts stand in for them (`priorWeight`)";
  if (worst.fewest === 0 || imatrix.chunkCount === 0) {
    return `Calibrate on more text of more kinds (code, chat, several languages), add it to this file (\`merge\`), ${prior}.`;
  }
  const chunks = Math.ceil((imatrix.chunkCount * thinExpertTokens) / worst.fewest);
  return `Calibrate on about ${chunks} chunks of such text (now ${imatrix.chunkCount}) or on text of more kinds, add it to this file (\`merge\`), ${prior}.`;
}
