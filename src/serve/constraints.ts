/** What an answer must follow, from the fields that say so. */
import type { AnswerGrammar } from "../generate/grammar/constraint.js";
import { schemaToGrammar } from "../generate/grammar/json-schema.js";
import type { ChatTool } from "./chat-task.js";
import { ApiError } from "./errors.js";

/** `response_format` of chats; `text.format` of responses has the same with the schema beside its type. */
export type AnswerFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object"; readonly schema?: unknown }
  | { readonly type: "json_schema"; readonly schema: unknown };

export interface ConstraintFields {
  /** Tools that may be called. */
  readonly tools: readonly ChatTool[];
  readonly choice: ToolChoice;
  readonly format?: AnswerFormat | undefined;
  /** GBNF. */
  readonly grammar?: string | undefined;
  /** llama-server's way to ask for JSON. */
  readonly schema?: unknown;
}

/** Whether tools may, must or must not be called, or which one must. */
export type ToolChoice = "none" | "auto" | "required" | { readonly name: string };

export interface AnswerConstraint {
  readonly grammar?: AnswerGrammar;
  /** Whether answers may be calls that are written as JSON. */
  readonly areJsonCalls?: boolean;
}

/**
 * The grammar of the answers, if there is one. Calls that must be made are JSON, whatever the model's own form is;
 * with a schema for what it says besides, the answer is one or the other.
 * Throws an ApiError for fields that exclude each other, and a UsageError for a schema that is not supported.
 */
export function constraintOf({ tools, choice, format, grammar, schema }: ConstraintFields): AnswerConstraint {
  const said = saidSchema(format, schema);
  if (grammar !== undefined) {
    if (said !== undefined || mustCall(choice)) {
      throw new ApiError(400, "grammar: cannot be combined with a schema or with calls that must be made.", {
        param: "grammar",
      });
    }
    return { grammar: { gbnf: grammar } };
  }
  const calls =
    mustCall(choice) || (said !== undefined && tools.length > 0) ? callSchemas(tools, choice) : [];
  const schemas = mustCall(choice) ? calls : [...calls, ...(said === undefined ? [] : [said])];
  if (schemas.length === 0) {
    return {};
  }
  const gbnf = schemaToGrammar(schemas.length === 1 ? schemas[0] : { anyOf: schemas });
  return { grammar: { gbnf }, areJsonCalls: calls.length > 0 };
}

function mustCall(choice: ToolChoice): boolean {
  return choice === "required" || typeof choice === "object";
}

function saidSchema(format: AnswerFormat | undefined, schema: unknown): unknown {
  if (format === undefined || format.type === "text") {
    return schema;
  }
  return format.schema ?? { type: "object", additionalProperties: true };
}

function callSchemas(tools: readonly ChatTool[], choice: ToolChoice): object[] {
  const wanted =
    typeof choice === "object" ? tools.filter((tool) => tool.function.name === choice.name) : tools;
  if (wanted.length === 0) {
    const what = typeof choice === "object" ? `is no tool "${choice.name.slice(0, 100)}"` : "are no tools";
    throw new ApiError(400, `tool_choice: there ${what} to call.`, { param: "tool_choice" });
  }
  return wanted.map(({ function: { name, parameters } }) => ({
    type: "object",
    properties: { name: { const: name }, arguments: parameters ?? { type: "object", properties: {} } },
    required: ["name", "arguments"],
    additionalProperties: false,
  }));
}
