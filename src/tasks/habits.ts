/**
 * What users feel of a damaged model before any score shows it: answers that do not end, or end too soon, fences and
 * JSON that are left open, calls of tools that are none.
 */
import { studentQuantile } from "../intervals.js";
import { withoutThinking } from "./answer.js";
import type { CallSteps } from "./tool-use.js";

/** What one answer is like, beside right or wrong. */
export interface AnswerHabits {
  /** It goes round in a circle until it is cut off. */
  readonly repeats: boolean;
  /** It ends, and a fence of code is still open. */
  readonly openFence: boolean;
  /** JSON in it, in blocks or as the whole answer, and how much of that cannot be read. */
  readonly json: number;
  readonly brokenJson: number;
}

/** What all answers of a model are like. */
export interface Habits {
  readonly answers: number;
  /** Tokens of an answer, on average. */
  readonly tokens: number;
  /** Answers that were too long and cut off; those of them that go round in a circle. */
  readonly truncated: number;
  readonly repeating: number;
  readonly openFences: number;
  readonly json: number;
  readonly brokenJson: number;
  /** Only with tasks that have tools: answers that should call one, and how far they get. */
  readonly calls?: {
    readonly asked: number;
    readonly written: number;
    readonly known: number;
    readonly valid: number;
  };
}

/** An answer as the summaries need it. */
export interface JudgedAnswer extends AnswerHabits {
  /** Which task it answers. */
  readonly line: number;
  /** Of a sampled answer. */
  readonly seed?: number | undefined;
  readonly tokens: number;
  readonly truncated: boolean;
  readonly call?: CallSteps | undefined;
}

/** How long answers are beside another model's: the geometric mean of the ratios, with its 95 % interval by tasks. */
export interface LengthRatio {
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  readonly tasks: number;
}

/** The end of an answer must be made of so many rounds, and have so many tokens, to be a circle. */
const rounds = 4;
const circleTokens = 48;
const lookedAt = 1024;

/** Looks at an answer: its text, its tokens, whether it was cut off. */
export function habitsOf(text: string, tokens: readonly number[], truncated: boolean): AnswerHabits {
  const spoken = withoutThinking(text);
  const blocks = jsonIn(spoken);
  return {
    repeats: truncated && endsInCircle(tokens),
    openFence: !truncated && hasOpenFence(spoken),
    // What is cut off is not broken.
    json: truncated ? 0 : blocks.length,
    brokenJson: truncated ? 0 : blocks.filter((block) => !isJson(block)).length,
  };
}

/** Whether the last tokens are some sequence over and over. */
export function endsInCircle(tokens: readonly number[]): boolean {
  const tail = tokens.slice(-lookedAt).reverse();
  // For each beginning of the reversed tail, the longest shorter one that it ends with: the rest is a period.
  const border = new Int32Array(tail.length);
  let length = 0;
  for (let at = 1; at < tail.length; at++) {
    while (length > 0 && tail[at] !== tail[length]) {
      length = border[length - 1] ?? 0;
    }
    length += tail[at] === tail[length] ? 1 : 0;
    border[at] = length;
    const [size, period] = [at + 1, at + 1 - length];
    if (size >= circleTokens && size >= rounds * period) {
      return true;
    }
  }
  return false;
}

/** A fence is closed by one of the same sign that is at least as long, with nothing behind it. */
function hasOpenFence(text: string): boolean {
  let open: string | undefined;
  for (const [, fence = "", info = ""] of text.matchAll(/^[ \t]*(```+|~~~+)([^\n]*)$/gm)) {
    if (open === undefined) {
      open = fence;
    } else if (fence.startsWith(open) && info.trim() === "") {
      open = undefined;
    }
  }
  return open !== undefined;
}

/** Blocks that say that they are JSON; else the answer itself if it is in braces. */
function jsonIn(text: string): string[] {
  const blocks = [...text.matchAll(/^[ \t]*```json[^\n]*\n(.*?)^[ \t]*```/gms)].map(([, body = ""]) => body);
  const whole = text.trim();
  return blocks.length === 0 && /^\{\s*"/.test(whole) ? [whole] : blocks;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Sums up the answers of a model. */
export function sumHabits(answers: readonly JudgedAnswer[]): Habits {
  const count = (is: (answer: JudgedAnswer) => boolean | undefined) => answers.filter(is).length;
  const sum = (of: (answer: JudgedAnswer) => number) =>
    answers.reduce((total, answer) => total + of(answer), 0);
  const asked = count(({ call }) => call !== undefined);
  return {
    answers: answers.length,
    tokens: sum(({ tokens }) => tokens) / Math.max(1, answers.length),
    truncated: count(({ truncated }) => truncated),
    repeating: count(({ repeats }) => repeats),
    openFences: count(({ openFence }) => openFence),
    json: sum(({ json }) => json),
    brokenJson: sum(({ brokenJson }) => brokenJson),
    ...(asked > 0 && {
      calls: {
        asked,
        written: count(({ call }) => call?.written),
        known: count(({ call }) => call?.known),
        valid: count(({ call }) => call?.valid),
      },
    }),
  };
}

/**
 * The length of answers beside another model's to the same tasks. Tasks are what varies; samples of one task are
 * averaged. Undefined for fewer than two tasks that both have answered.
 */
export function lengthRatio(
  own: readonly JudgedAnswer[],
  others: readonly JudgedAnswer[],
): LengthRatio | undefined {
  const keyOf = ({ line, seed }: JudgedAnswer) => `${line}/${seed ?? ""}`;
  const lengths = new Map(others.map((answer) => [keyOf(answer), answer.tokens]));
  const byTask = new Map<number, number[]>();
  for (const answer of own) {
    const other = lengths.get(keyOf(answer));
    if (other !== undefined) {
      const logarithm = Math.log(Math.max(1, answer.tokens) / Math.max(1, other));
      byTask.set(answer.line, [...(byTask.get(answer.line) ?? []), logarithm]);
    }
  }
  const means = [...byTask.values()].map(mean);
  if (means.length < 2) {
    return undefined;
  }
  const center = mean(means);
  const variance = means.reduce((sum, value) => sum + (value - center) ** 2, 0) / (means.length - 1);
  const margin = studentQuantile(means.length - 1) * Math.sqrt(variance / means.length);
  const [ratio, low, high] = [center, center - margin, center + margin].map(Math.exp) as [
    number,
    number,
    number,
  ];
  return { ratio, low, high, tasks: means.length };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
