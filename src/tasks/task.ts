/**
 * Tasks with answers that can be checked: a JSONL file, one task per line.
 *
 *     {"kind": "arithmetic", "prompt": "What is 17 * 23?", "answer": 391}
 *     {"kind": "puzzle", "prompt": "... 35 heads and 94 legs ...", "answer": [23, 12]}
 *     {"kind": "code", "prompt": "Write a Python function gcd(a, b) ...", "name": "gcd",
 *      "tests": [{"args": [12, 18], "result": 6}]}
 *     {"kind": "tools", "prompt": "How warm is it in Oslo?", "tools": [{"type": "function", "function": {...}}],
 *      "call": {"name": "weather", "arguments": {"city": "Oslo"}}}
 *
 * Lines of HumanEval, MBPP and GSM8K are read too (`foreign-tasks.ts`).
 */
import { z } from "zod";
import { isJsonArray, isJsonObject, type JsonValue, parseJson } from "../bytes/json.js";
import { MalformedInputError } from "../errors.js";
import { foreignTask } from "./foreign-tasks.js";
import { type FunctionTest, knownFunctions } from "./known-functions.js";
import { type ExpectedCall, schemaOf, type TaskTool } from "./tool-use.js";

const text = z.string().min(1);
const expected = z.union([text, z.number()]);

const toolSchema = z.object({
  type: z.literal("function"),
  function: z.looseObject({ name: text, parameters: z.unknown().optional() }),
});

const taskSchema = z
  .object({
    prompt: text,
    /** Label under which passes are counted. */
    kind: text,
    /** A number; a text that the answer ends with; or several of them, in order. */
    answer: z.union([expected, z.array(expected).min(1)]).optional(),
    /** Name of the Python function asked for. */
    name: z
      .string()
      .regex(/^[A-Za-z_]\w*$/, "must be the name of a Python function")
      .optional(),
    /** Calls of the function and what they must return. */
    tests: z
      .array(z.object({ args: z.array(z.unknown()), result: z.unknown() }).strict())
      .min(1)
      .optional(),
    /** Functions that the model may call, in OpenAI's form. */
    tools: z.array(toolSchema).min(1).optional(),
    /** The call that is right: of this tool, with at least these arguments. Any valid one by default. */
    call: z
      .union([
        text,
        z.object({ name: text, arguments: z.record(z.string(), z.unknown()).optional() }).strict(),
      ])
      .optional(),
    /** A right answer, for readers. */
    reference: z.string().optional(),
    /** System message before the prompt. */
    system: z.string().optional(),
    maxTokens: z.number().int().min(1).optional(),
    id: z.union([z.string(), z.number()]).optional(),
  })
  .strict();

export type Expected = string | number;

/** What is right: texts or numbers, a function that does what it should by calls or by a program, a call of a tool. */
export type Criterion =
  | { readonly type: "answer"; readonly expected: readonly Expected[] }
  | { readonly type: "function"; readonly name: string; readonly tests: readonly FunctionTest[] }
  | { readonly type: "program"; readonly name: string; readonly before: string; readonly tests: string }
  | ({ readonly type: "call" } & ExpectedCall);

export interface Task {
  /** Where it stands in its file, counted from 1. */
  readonly line: number;
  readonly kind: string;
  readonly prompt: string;
  readonly system: string | undefined;
  readonly maxTokens: number | undefined;
  readonly criterion: Criterion;
  /** Functions that the model may call. */
  readonly tools: readonly TaskTool[];
  readonly reference: string | undefined;
}

/**
 * Reads the tasks of a JSONL file; empty lines are skipped.
 * Throws a MalformedInputError that names the line, if one is no task, or if there are none.
 */
export function parseTasks(content: string, file: string): Task[] {
  const tasks = content
    .split("\n")
    .flatMap((line, index) => (line.trim() === "" ? [] : [parseTask(line, index + 1, file)]));
  if (tasks.length === 0) {
    throw new MalformedInputError(`${file}: has no task; write one JSON object per line.`, { file });
  }
  return tasks;
}

function parseTask(content: string, line: number, file: string): Task {
  const where = `${file}: line ${line}`;
  const malformed = (problem: string) => new MalformedInputError(`${where}: ${problem}`, { file, line });
  const json = plain(parseJson(content, where));
  const foreign = foreignTask(json);
  if (foreign !== undefined) {
    const { kind, prompt } = foreign;
    const rest = { system: undefined, maxTokens: undefined, reference: undefined, tools: [] };
    return "answer" in foreign
      ? { line, kind, prompt, ...rest, criterion: { type: "answer", expected: [foreign.answer] } }
      : { line, kind, prompt, ...rest, criterion: { type: "program", ...foreign.program } };
  }
  const parsed = taskSchema.safeParse(json);
  if (!parsed.success) {
    throw malformed(`${describeIssue(parsed.error)}; see the task files that ship with Lopsided.`);
  }
  const { answer, name, tests, prompt, kind, system, maxTokens, reference, tools = [], call } = parsed.data;
  for (const tool of tools) {
    checkSchema(tool, malformed);
  }
  return { line, kind, prompt, system, maxTokens, reference, tools, criterion: criterion() };

  function criterion(): Criterion {
    if (answer !== undefined && (name !== undefined || tests !== undefined)) {
      throw malformed(`has "answer" besides "name" or "tests"; a task is checked in one way only.`);
    }
    if (call !== undefined || (answer === undefined && name === undefined && tools.length > 0)) {
      return { type: "call", ...expectedCall() };
    }
    if (answer !== undefined) {
      return { type: "answer", expected: Array.isArray(answer) ? answer : [answer] };
    }
    if (name === undefined) {
      throw malformed(
        `says nothing to check; give it an "answer", the "name" of a function and "tests", or "tools" and a "call".`,
      );
    }
    const calls = tests ?? knownFunctions.get(name);
    if (calls === undefined) {
      throw malformed(
        `has no "tests" for the function "${name}"; give calls as {"args": [...], "result": ...}.`,
      );
    }
    return { type: "function", name, tests: calls as readonly FunctionTest[] };
  }

  function expectedCall(): ExpectedCall {
    const expectedOne: ExpectedCall = typeof call === "string" ? { name: call } : (call ?? {});
    const isTool = tools.some((tool) => tool.function.name === expectedOne.name);
    if (answer !== undefined || name !== undefined || tests !== undefined) {
      throw malformed(`has a "call" besides another way to check; a task is checked in one way only.`);
    }
    if (expectedOne.name !== undefined && !isTool) {
      throw malformed(`expects a call of "${expectedOne.name}", which is none of its "tools".`);
    }
    return expectedOne;
  }
}

/** Throws for a tool whose parameters no arguments could be checked against. */
function checkSchema(tool: TaskTool, malformed: (problem: string) => Error): void {
  const { name, parameters } = tool.function;
  try {
    schemaOf(parameters);
  } catch {
    throw malformed(`the "parameters" of the tool "${name}" are no JSON Schema that can be checked.`);
  }
}

function describeIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  if (issue === undefined) {
    return "is no task";
  }
  if (issue.code === "unrecognized_keys") {
    return `has a field "${issue.keys[0]}" that tasks do not have`;
  }
  const path = issue.path.map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
  return `"${path.replace(/^\./, "") || "the line"}" is wrong: ${issue.message}`;
}

/** JSON as plain objects; `fromEntries` makes own properties of all names. */
function plain(value: JsonValue): unknown {
  if (isJsonArray(value)) {
    return value.map(plain);
  }
  if (isJsonObject(value)) {
    return Object.fromEntries([...value].map(([name, item]) => [name, plain(item)]));
  }
  return value;
}
