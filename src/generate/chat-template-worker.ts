/** The isolated thread in which a model's chat template is parsed and rendered. See chat-template.ts. */
import { workerData } from "node:worker_threads";
import type { IsolatedWorkerSetup } from "../isolation/messages.js";
import { serveRequests } from "../isolation/serve.js";
import type { Body } from "./chat-template/ast.js";
import { renderTemplate } from "./chat-template/interpreter.js";
import { parseTemplate } from "./chat-template/parser.js";

export interface RenderRequest {
  /** Name of one of the templates in `workerData`. */
  readonly template: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly maxLength: number;
}

export type RenderReply =
  | { readonly text: string }
  /** The template cannot be parsed. */
  | { readonly malformed: string }
  /** It refused the messages, or failed on them. */
  | { readonly refused: string }
  | { readonly length: number };

export interface TemplateData {
  readonly templates: ReadonlyMap<string, string>;
}

const { data } = workerData as IsolatedWorkerSetup<TemplateData, undefined>;
const { templates } = data;
const parsed = new Map<string, Body>();

function render({ template: name, variables, maxLength }: RenderRequest): RenderReply {
  try {
    if (!parsed.has(name)) {
      parsed.set(name, parseTemplate(templates.get(name) ?? ""));
    }
  } catch (error) {
    return { malformed: reason(error) };
  }
  try {
    const program = parsed.get(name);
    const text = program ? renderLeniently(program, variables) : "";
    return text.length > maxLength ? { length: text.length } : { text };
  } catch (error) {
    return { refused: reason(error) };
  }
}

/** Some templates fail on the content `null` that clients send beside tool calls, but take an empty one. */
function renderLeniently(program: Body, variables: RenderRequest["variables"]): string {
  try {
    return renderTemplate(program, variables);
  } catch (error) {
    const messages = variables.messages as readonly { readonly content: unknown }[];
    if (!messages.some(({ content }) => content === null)) {
      throw error;
    }
    const filled = messages.map((message) => ({ ...message, content: message.content ?? "" }));
    return renderTemplate(program, { ...variables, messages: filled });
  }
}

/** The first line of what went wrong, not too long. */
function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n", 1).join("").slice(0, 300);
}

serveRequests(render);
