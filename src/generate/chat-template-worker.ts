/** The isolated thread in which a model's chat template is parsed and rendered. See chat-template.ts. */
import { workerData } from "node:worker_threads";
import type { Template } from "@huggingface/jinja";
import type { WorkerSetup } from "../isolation/messages.js";
import { serveRequests } from "../isolation/serve.js";

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
  /** Address of the module of @huggingface/jinja: looking for it by name would mean to read other folders. */
  readonly jinja: string;
}

const { data } = workerData as WorkerSetup<TemplateData, undefined>;
const { templates } = data;
const jinja: { readonly Template: typeof Template } = await import(data.jinja);
const parsed = new Map<string, Template>();

function render({ template: name, variables, maxLength }: RenderRequest): RenderReply {
  try {
    if (!parsed.has(name)) parsed.set(name, new jinja.Template(templates.get(name) ?? ""));
  } catch (error) {
    return { malformed: reason(error) };
  }
  try {
    const text = parsed.get(name)?.render({ ...variables }) ?? "";
    return text.length > maxLength ? { length: text.length } : { text };
  } catch (error) {
    return { refused: reason(error) };
  }
}

/** The first line of what went wrong, not too long. */
function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n", 1).join("").slice(0, 300);
}

serveRequests(render);
