/** How many tokens each expert saw: thin statistics make bad low-bit experts. */
import type { Imatrix } from "./imatrix.js";
import { thinExpertTokens } from "./rare-experts.js";

/** Coverage of the experts of one tensor. */
export interface ExpertCoverage {
  readonly tensor: string;
  /** Number of experts. */
  readonly experts: number;
  /** Number of experts that saw no token at all. */
  readonly unseen: number;
  /** Tokens that the least and the most visited expert saw. */
  readonly fewest: number;
  readonly most: number;
  /** Tokens of every expert. */
  readonly tokens: readonly number[];
}

/** Coverage of every tensor with counts per expert, in the order of its layers; empty for a `.dat` file. */
export function expertCoverage(imatrix: Imatrix): ExpertCoverage[] {
  return [...imatrix.entries]
    .filter(([, { counts }]) => counts.length > 1)
    .map(([tensor, { counts }]) => ({
      tensor,
      experts: counts.length,
      unseen: counts.filter((count) => count === 0).length,
      fewest: counts.reduce((least, count) => Math.min(least, count), Infinity),
      most: counts.reduce((most, count) => Math.max(most, count), 0),
      tokens: [...counts],
    }))
    .sort((a, b) => a.tensor.localeCompare(b.tensor, "en", { numeric: true }));
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
