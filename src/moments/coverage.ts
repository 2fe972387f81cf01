/** How much text is behind moments: too few tokens make errors vanish in directions that happened not to occur. */
import type { MomentsFile } from "./file.js";

export interface MomentsCoverage {
  readonly inputs: number;
  readonly matrices: number;
  /** Matrices without any token. */
  readonly unseen: number;
  /** The input with the fewest tokens per dimension in one of its matrices, unseen ones left out. */
  readonly thinnest: string;
  /** Tokens there, and tokens per dimension. */
  readonly tokens: number;
  readonly tokensPerDimension: number;
}

/** Tokens per dimension below which a warning is due: that many still keep most of the gain. */
export const fewTokensPerDimension = 2;

export function momentsCoverage({ inputs }: Pick<MomentsFile, "inputs">): MomentsCoverage {
  let matrices = 0;
  let unseen = 0;
  let thinnest = "";
  let tokens = 0;
  let tokensPerDimension = Infinity;
  for (const [name, { columns, counts }] of inputs) {
    matrices += counts.length;
    for (const count of counts) {
      if (count === 0) {
        unseen++;
      }
      if (count === 0 || count / columns >= tokensPerDimension) {
        continue;
      }
      thinnest = name;
      tokens = count;
      tokensPerDimension = count / columns;
    }
  }
  return { inputs: inputs.size, matrices, unseen, thinnest, tokens, tokensPerDimension };
}

/** A warning with advice if the text was too short, or undefined if all is well. */
export function momentsWarning(coverage: MomentsCoverage): string | undefined {
  const { unseen, matrices, thinnest, tokens, tokensPerDimension } = coverage;
  if (unseen === 0 && tokensPerDimension >= fewTokensPerDimension) {
    return undefined;
  }
  const none = unseen > 0 ? `${unseen} of ${matrices} matrices saw no token; ` : "";
  return `the calibration text is short for moments: ${none}the thinnest, in ${thinnest}, saw ${tokens} tokens, ${tokensPerDimension.toFixed(1)} per dimension (wanted: ${fewTokensPerDimension} or more). Collect them on more text, of more kinds.`;
}
