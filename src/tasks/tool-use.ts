/** Tasks that a model is to solve with a tool: whether it writes a call, of a tool that there is, with arguments that fit. */
import { z } from "zod";
import type { AnswerFamily } from "../generate/tool-calls/families.js";
import type { ToolCall, ToolFunction } from "../generate/tool-calls/format.js";
import type { Grade } from "./grade-result.js";
import { isSame } from "./same-value.js";

/** A tool in OpenAI's form, as chat templates expect it. */
export interface TaskTool {
  readonly type: "function";
  readonly function: ToolFunction;
}

/** The call that is right: any of a tool that there is, or of this one, with at least these arguments. */
export interface ExpectedCall {
  readonly name?: string | undefined;
  readonly arguments?: Readonly<Record<string, unknown>> | undefined;
}

/** How far an answer got with calling a tool; each step is nothing without the one before. */
export interface CallSteps {
  /** It has a call in the form of the model's family. */
  readonly written: boolean;
  /** Every call names a tool that there is. */
  readonly known: boolean;
  /** Arguments of every call are what the tool's JSON Schema says. */
  readonly valid: boolean;
}

/** The calls in an answer, as the model's family writes them. */
export function callsIn(
  answer: string,
  family: AnswerFamily,
  prompt: string,
  tools: readonly TaskTool[],
): ToolCall[] {
  const parser = family.parser({ tools: tools.map((tool) => tool.function), prompt });
  const parts = [...parser.add(answer), ...parser.end()];
  return parts.flatMap((part) => (part.type === "call" ? [part.call] : []));
}

/** Grades the calls of an answer. */
export function gradeCalls(
  calls: readonly ToolCall[],
  tools: readonly TaskTool[],
  expected: ExpectedCall,
): Grade & { readonly call: CallSteps } {
  const none: CallSteps = { written: calls.length > 0, known: false, valid: false };
  if (calls.length === 0) {
    return { passed: false, reason: "the answer calls no tool", call: none };
  }
  const stranger = calls.find(({ name }) => toolOf(tools, name) === undefined);
  if (stranger !== undefined) {
    return { passed: false, reason: `calls "${shortened(stranger.name)}", which is no tool`, call: none };
  }
  for (const call of calls) {
    const problem = problemOf(call, toolOf(tools, call.name));
    if (problem !== undefined) {
      const reason = `the arguments of ${call.name} are wrong: ${problem}`;
      return { passed: false, reason, call: { ...none, known: true } };
    }
  }
  const call = { written: true, known: true, valid: true };
  return calls.some((made) => isExpected(made, expected))
    ? { passed: true, call }
    : { passed: false, reason: `does not call ${describe(expected)}`, call };
}

/** A JSON Schema's check; throws what zod throws for one that is none. */
export function schemaOf(parameters: unknown): z.ZodType {
  return z.fromJSONSchema((parameters ?? {}) as Parameters<typeof z.fromJSONSchema>[0]);
}

function toolOf(tools: readonly TaskTool[], name: string): ToolFunction | undefined {
  return tools.find((tool) => tool.function.name === name)?.function;
}

function problemOf(call: ToolCall, tool: ToolFunction | undefined): string | undefined {
  const result = schemaOf(tool?.parameters).safeParse(JSON.parse(call.arguments));
  const [issue] = result.error?.issues ?? [];
  return issue && shortened(`${issue.path.join(".") || "they"}: ${issue.message}`);
}

function isExpected(call: ToolCall, { name, arguments: expected = {} }: ExpectedCall): boolean {
  const given = JSON.parse(call.arguments) as Record<string, unknown>;
  const hasAll = Object.entries(expected).every(
    ([key, value]) => Object.hasOwn(given, key) && isSame(given[key], value),
  );
  return (name === undefined || call.name === name) && hasAll;
}

function describe({ name = "a tool", arguments: expected }: ExpectedCall): string {
  return expected === undefined ? name : `${name} with ${shortened(JSON.stringify(expected))}`;
}

function shortened(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}
