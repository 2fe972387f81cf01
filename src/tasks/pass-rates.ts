/** How many tasks of each kind passed, and how sure that is. */
import { studentQuantile } from "../intervals.js";

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

/** Sampled answers that passed, with the 95 % interval: tasks are what varies, not the samples of one. */
export interface SampledRate {
  readonly share: number;
  readonly low: number;
  readonly high: number;
  readonly answers: number;
}

/** The share of sampled answers that pass, by Student's t over the tasks' own shares; undefined without samples. */
export function sampledRate(
  answers: readonly { readonly line: number; readonly passed: boolean }[],
): SampledRate | undefined {
  const byTask = new Map<number, { passed: number; total: number }>();
  for (const { line, passed } of answers) {
    const own = byTask.get(line) ?? { passed: 0, total: 0 };
    byTask.set(line, { passed: own.passed + (passed ? 1 : 0), total: own.total + 1 });
  }
  const shares = [...byTask.values()].map(({ passed, total }) => passed / total);
  if (shares.length === 0) {
    return undefined;
  }
  const share = shares.reduce((sum, own) => sum + own, 0) / shares.length;
  const squares = shares.reduce((sum, own) => sum + (own - share) ** 2, 0);
  const degrees = shares.length - 1;
  const margin = degrees > 0 ? studentQuantile(degrees) * Math.sqrt(squares / degrees / shares.length) : 1;
  return {
    share,
    low: Math.max(0, share - margin),
    high: Math.min(1, share + margin),
    answers: answers.length,
  };
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
