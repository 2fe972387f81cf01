/** Finding the program in an answer, and checking its function by calling it in the sandbox. */
import type { PythonSandbox } from "../sandbox/python.js";
import { withoutThinking } from "./answer.js";
import type { Grade } from "./grade-result.js";
import type { FunctionTest } from "./known-functions.js";
import { isSame } from "./same-value.js";

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

/** Runs the tests of a task that has them as a program, behind the answer's code. */
export async function gradeProgram(
  sandbox: PythonSandbox,
  answer: string,
  { name, before, tests }: { name: string; before: string; tests: string },
  signal?: AbortSignal,
): Promise<Grade> {
  const code = extractCode(answer, name);
  if (code === undefined) {
    return { passed: false, reason: "the answer has no code" };
  }
  // What the prompt imports is there even if the answer does not say it again; an answer may be the body alone.
  const isWhole = definition(name).test(code);
  const begin = isWhole ? before.slice(0, Math.max(0, before.search(definition(name)))) : before;
  const { failure } = await sandbox.run(`${begin}\n${code}\n\n${tests}\n`, [], { signal });
  return failure === undefined ? { passed: true } : failed(failure);
}

function failed(reason: string): Grade {
  return { passed: false, reason: reason.length > 400 ? `${reason.slice(0, 400)}...` : reason };
}
