/** Finding the program in an answer, and checking its function by calling it in the sandbox. */
import type { PythonSandbox } from "../sandbox/python.js";
import { withoutThinking } from "./answer.js";
import type { FunctionTest } from "./known-functions.js";

/** Whether an answer passed, and what was wrong if not. */
export interface Grade {
  readonly passed: boolean;
  readonly reason?: string;
}

/**
 * The program in an answer: the last fenced block that defines the function, else the last one; all of it without
 * fences. A fence that the end of the answer cut off counts.
 */
export function extractCode(answer: string, name: string): string | undefined {
  const text = withoutThinking(answer);
  const blocks = [...text.matchAll(/^[ \t]*(```+|~~~+)[^\n]*\n(.*?)(?:^[ \t]*\1|$(?![\s\S]))/gms)].map(
    (match) => match[2] ?? "",
  );
  if (blocks.length === 0) {
    return /^\s*(?:def|class|from|import)\s/m.test(text) ? text : undefined;
  }
  return blocks.findLast((block) => definition(name).test(block)) ?? blocks.at(-1);
}

function definition(name: string): RegExp {
  return new RegExp(`\\bdef\\s+${name}\\s*\\(`);
}

/** Calls the function as the tests say, and compares what it returns: here, where its code cannot reach. */
export async function gradeCode(
  sandbox: PythonSandbox,
  answer: string,
  {
    name,
    tests,
    mayHaveOtherName,
  }: { name: string; tests: readonly FunctionTest[]; mayHaveOtherName: boolean },
  signal?: AbortSignal,
): Promise<Grade> {
  const code = extractCode(answer, name);
  if (code === undefined) {
    return { passed: false, reason: "the answer has no code" };
  }
  const calls = tests.map(({ args }) => ({ function: name, arguments: args, orLast: mayHaveOtherName }));
  const { failure, returned } = await sandbox.run(code, calls, { signal });
  for (const [index, { args, result }] of tests.entries()) {
    const outcome = returned[index];
    const call = `${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`;
    if (outcome === undefined) {
      return failed(failure ?? `${call} returned nothing`);
    }
    if ("error" in outcome) {
      return failed(`${call} raised ${outcome.error}`);
    }
    if (!isSame(outcome.value, result)) {
      return failed(`${call} returned ${JSON.stringify(outcome.value)} instead of ${JSON.stringify(result)}`);
    }
  }
  return failure === undefined ? { passed: true } : failed(failure);
}

function failed(reason: string): Grade {
  return { passed: false, reason: reason.length > 400 ? `${reason.slice(0, 400)}...` : reason };
}

/** Whether two JSON values are the same; numbers that are not whole may differ in their last digits. */
export function isSame(a: unknown, b: unknown): boolean {
  if (typeof a === "number" && typeof b === "number") {
    return (
      a === b || (!(Number.isInteger(a) && Number.isInteger(b)) && Math.abs(a - b) <= 1e-9 * Math.abs(b))
    );
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => isSame(item, b[i]));
  }
  if (isObject(a) && isObject(b)) {
    const names = Object.keys(a);
    return (
      names.length === Object.keys(b).length &&
      names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name]))
    );
  }
  return a === b;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
