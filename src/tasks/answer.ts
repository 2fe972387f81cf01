/** Does an answer in words say what is expected? Looks at its final statement only, not at the reasoning. */
import type { Expected } from "./task.js";

/** "Answer:", "the answer is", "final answer =". */
const marker = /\banswer\s*(?:is\b\s*:?|:|=)/giu;

/** `\boxed{...}`, with braces inside up to two levels deep. */
const boxed = /\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}/g;

/** A number, with thousands separators or not. A hyphen between two numbers or words is no sign. */
const number = /(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d+)?/gi;

/** What an answer says after thinking; nothing if it was still thinking at its end. */
export function withoutThinking(answer: string): string {
  const end = "</think>";
  const at = answer.lastIndexOf(end);
  const spoken = at < 0 ? answer : answer.slice(at + end.length);
  return spoken.includes("<think>") ? "" : spoken;
}

/** Without marks of Markdown and LaTeX. */
function plainText(answer: string): string {
  return answer
    .replaceAll(boxed, " answer: $1 ")
    .replaceAll("{,}", ",")
    .replaceAll(/\\[()[\],;! ]/g, " ")
    .replaceAll(/[*`$]+/g, "")
    .replaceAll("\u2212", "-");
}

/**
 * Whether an answer's final statement has the expected numbers in order, or the expected text at its end. The
 * final statement is what follows the last "Answer:" (or "the answer is", or `\boxed`), else the last line.
 */
export function matchesAnswer(answer: string, expected: readonly Expected[]): boolean {
  const text = plainText(withoutThinking(answer));
  const numbers = expected.filter((item) => typeof item === "number");
  if (numbers.length === expected.length) {
    return matchesNumbers(text, numbers);
  }
  const statement = finalLine(text);
  const parts = expected.flatMap((item) => splitParts(String(item)));
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) {
    return endsWith(statement, only);
  }
  return parts.every((part) => includesPart(statement, part));
}

function matchesNumbers(text: string, expected: readonly number[]): boolean {
  const count = expected.length;
  const marked = afterMarker(text);
  const found =
    marked === undefined
      ? lastNumbers(lines(text).findLast((line) => numbersIn(line).length >= count) ?? "", count)
      : firstNumbers(marked, count);
  return found.length === count && found.every((value, i) => isClose(value, expected[i] ?? Number.NaN));
}

/** The result of "3 * 14 = 42", else the first numbers: what follows explains them. */
function firstNumbers(text: string, count: number): number[] {
  const line = lines(text)[0] ?? "";
  const all = numbersIn(line);
  if (all.length < count) {
    return numbersIn(text).slice(0, count);
  }
  const result = numbersIn(line.slice(line.lastIndexOf("=") + 1));
  if (all.length > count && result.length === count) {
    return result;
  }
  return all.slice(0, count);
}

function lastNumbers(line: string, count: number): number[] {
  return numbersIn(line).slice(-count);
}

function numbersIn(text: string): number[] {
  return [...text.matchAll(number)].map(([digits]) => Number(digits.replaceAll(",", "")));
}

function isClose(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
}

/** The text after the last marker. */
function afterMarker(text: string): string | undefined {
  const last = [...text.matchAll(marker)].at(-1);
  return last && text.slice(last.index + last[0].length);
}

function finalLine(text: string): string {
  const marked = afterMarker(text);
  return (marked === undefined ? lines(text).at(-1) : lines(marked)[0]) ?? "";
}

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** "23 chickens and 12 rabbits" is two statements, in any order; "bread and butter" is one. */
function splitParts(expected: string): string[] {
  const parts = expected.split(/\s+and\s+/);
  return parts.every((part) => /\d/.test(part)) ? parts : [expected];
}

function endsWith(statement: string, expected: string): boolean {
  const all = normalized(statement);
  const end = normalized(expected);
  return all.endsWith(end) && !joins(all.at(-end.length - 1), end[0]);
}

function includesPart(statement: string, expected: string): boolean {
  const all = normalized(statement);
  const part = normalized(expected);
  for (let at = all.indexOf(part); at >= 0; at = all.indexOf(part, at + 1)) {
    if (!joins(all[at - 1], part[0]) && !joins(part.at(-1), all[at + part.length])) {
      return true;
    }
  }
  return false;
}

/** Whether two characters side by side belong to one word or number. */
function joins(left: string | undefined, right: string | undefined): boolean {
  return /[\p{L}\p{N}_.-]/u.test(left ?? " ") && /[\p{L}\p{N}_]/u.test(right ?? " ");
}

/** Lower case, single spaces, none inside brackets and after commas, no period at the end. */
function normalized(text: string): string {
  return text
    .trim()
    .toLowerCase()
    .replaceAll(/\s+/g, " ")
    .replaceAll(/\s*([[\](),])\s*/g, "$1")
    .replace(/[.!]+$/, "");
}
