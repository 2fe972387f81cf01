/** Deciding whether an answer solves its task. */
import type { AnswerFamily } from "../generate/tool-calls/families.js";
import type { PythonSandbox } from "../sandbox/python.js";
import { matchesAnswer } from "./answer.js";
import { gradeCode, gradeProgram } from "./code.js";
import type { Grade } from "./grade-result.js";
import type { Task } from "./task.js";
import { type CallSteps, callsIn, gradeCalls } from "./tool-use.js";

/** An answer, and what it takes to grade it. */
export interface GradedAnswer {
  readonly task: Task;
  readonly answer: string;
  /** As the template wrote it. */
  readonly prompt: string;
  readonly sandbox: PythonSandbox;
  /** How the model writes calls. */
  readonly family: AnswerFamily;
}

/**
 * Grades one answer. A function may have another name than the task's if the prompt does not say how to name it.
 * Throws an EnvironmentError if the sandbox cannot be started; a CancelledError.
 */
export async function gradeAnswer(
  { task, answer, prompt, sandbox, family }: GradedAnswer,
  signal?: AbortSignal,
): Promise<Grade & { readonly call?: CallSteps }> {
  const { criterion, tools } = task;
  if (criterion.type === "call") {
    return gradeCalls(callsIn(answer, family, prompt, tools), tools, criterion);
  }
  if (criterion.type === "function") {
    const mayHaveOtherName = !new RegExp(`\\b${criterion.name}\\b`).test(task.prompt);
    return await gradeCode(sandbox, answer, { ...criterion, mayHaveOtherName }, signal);
  }
  if (criterion.type === "program") {
    return await gradeProgram(sandbox, answer, criterion, signal);
  }
  if (matchesAnswer(answer, criterion.expected)) {
    return { passed: true };
  }
  return { passed: false, reason: `the answer is not ${criterion.expected.join(" and ")}` };
}
