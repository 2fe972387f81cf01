/** Deciding whether an answer solves its task. */
import type { PythonSandbox } from "../sandbox/python.js";
import { matchesAnswer } from "./answer.js";
import { type Grade, gradeCode } from "./code.js";
import type { Task } from "./task.js";

/**
 * Grades one answer. A function may have another name than the task's if the prompt does not say how to name it.
 * Throws an EnvironmentError if the sandbox cannot be started; a CancelledError.
 */
export async function gradeAnswer(
  { criterion, prompt }: Task,
  answer: string,
  sandbox: PythonSandbox,
  signal?: AbortSignal,
): Promise<Grade> {
  if (criterion.type === "function") {
    const mayHaveOtherName = !new RegExp(`\\b${criterion.name}\\b`).test(prompt);
    return await gradeCode(sandbox, answer, { ...criterion, mayHaveOtherName }, signal);
  }
  if (matchesAnswer(answer, criterion.expected)) {
    return { passed: true };
  }
  return { passed: false, reason: `the answer is not ${criterion.expected.join(" and ")}` };
}
