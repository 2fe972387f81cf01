/** What each expert of a tensor counts for in the budget. */

import type { Imatrix } from "../imatrix/imatrix.js";
import type { Importance } from "../imatrix/importance.js";

/**
 * How many of the routed tokens each expert of a tensor saw, up to a factor; all alike if that is not known. A token
 * of prior, as the importance has it: an expert that saw none still counts.
 */
export function expertShares(
  imatrix: Imatrix | undefined,
  importance: Importance | undefined,
  experts: number,
): number[] {
  const counts = importance && imatrix?.entries.get(importance.entry)?.counts;
  return Array.from({ length: experts }, (_, expert) =>
    counts?.length === experts ? (counts[expert] ?? 0) + 1 : 1,
  );
}
