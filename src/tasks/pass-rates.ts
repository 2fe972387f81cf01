/** How many tasks of each kind passed, and how sure that is. */

/** Tasks of one kind that passed, with the ends of the 95 % interval of the rate. */
export interface PassRate {
  readonly kind: string;
  readonly passed: number;
  readonly total: number;
  readonly low: number;
  readonly high: number;
}

/** Pass rates by kind, in the order in which kinds first occur. */
export function passRates(
  graded: readonly { readonly kind: string; readonly passed: boolean }[],
): PassRate[] {
  const kinds = new Map<string, { passed: number; total: number }>();
  for (const { kind, passed } of graded) {
    const { passed: before, total } = kinds.get(kind) ?? { passed: 0, total: 0 };
    kinds.set(kind, { passed: before + (passed ? 1 : 0), total: total + 1 });
  }
  return [...kinds].map(([kind, { passed, total }]) => ({
    kind,
    passed,
    total,
    ...wilsonInterval(passed, total),
  }));
}

/** 97.5 % quantile of the normal distribution. */
const z = 1.959963984540054;

/**
 * The 95 % interval of a rate of which `passed` of `total` were seen (E. B. Wilson, "Probable Inference", 1927):
 * unlike the usual one it makes sense for few tasks and for rates near 0 and 1.
 */
export function wilsonInterval(
  passed: number,
  total: number,
): { readonly low: number; readonly high: number } {
  if (total === 0) {
    return { low: 0, high: 1 };
  }
  const rate = passed / total;
  const scale = 1 + (z * z) / total;
  const center = rate + (z * z) / (2 * total);
  const half = z * Math.sqrt((rate * (1 - rate)) / total + (z * z) / (4 * total * total));
  return {
    low: passed === 0 ? 0 : Math.max(0, (center - half) / scale),
    high: passed === total ? 1 : Math.min(1, (center + half) / scale),
  };
}
