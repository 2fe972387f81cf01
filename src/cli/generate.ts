/** What `generate` prints. */
import type { GenerateResult } from "../corpus/generate.js";
import { formatCount, formatDuration } from "../units.js";
import type { View } from "./view.js";

export const view: View<GenerateResult> = {
  lines: ({ output, answers, prompts, tokens, truncated, empty, resumedFrom, seconds, tokensPerSecond }) => [
    `${output}: ${answers} conversations from ${prompts} prompts, ${formatCount(tokens)} tokens of answers (${formatDuration(seconds)}, ${formatCount(tokensPerSecond)} tokens/s)`,
    ...(resumedFrom === undefined ? [] : [`${resumedFrom} answers were there from an earlier run.`]),
    ...(truncated > 0 ? [`${truncated} answers were cut off at their longest (--n-predict, --ctx).`] : []),
    ...(empty > 0 ? [`${empty} answers were empty and are left out.`] : []),
  ],
};
