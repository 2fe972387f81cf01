/**
 * JSON of a form that is known: parsed strictly (`json.ts`) and validated by a schema, with one sentence that names
 * the first place where it is not of that form.
 */
import type { z } from "zod";
import { MalformedInputError } from "../errors.js";
import { parsePlainJson, readJsonText } from "./json.js";
import { quoted } from "./quoted.js";
import type { ByteSource } from "./source.js";

/** What a document is, for messages. */
export interface JsonKind {
  /** As in "is not AN EVALUATION". */
  readonly kind: string;
  /** What to do about one that is none, as the end of a sentence. */
  readonly advice: string;
}

/**
 * Parses `text`, called `name` in messages, and validates it. Throws a MalformedInputError if it is not strict JSON
 * or not what the schema describes.
 */
export function parseJsonAs<S extends z.ZodType>(
  schema: S,
  text: string,
  name: string,
  { kind, advice }: JsonKind,
): z.output<S> {
  const result = schema.safeParse(parsePlainJson(text, name));
  if (result.success) {
    return result.data;
  }
  const problem = describeIssue(result.error);
  throw new MalformedInputError(`${name}: is not ${kind}: ${problem}; ${advice}.`, { file: name });
}

/** Reads a whole source, of at most `maxBytes`, and validates it. Errors: see `readText` and `parseJsonAs`. */
export async function readJsonAs<S extends z.ZodType>(
  schema: S,
  source: ByteSource,
  { maxBytes, ...kind }: JsonKind & { readonly maxBytes: number },
): Promise<z.output<S>> {
  return parseJsonAs(schema, await readJsonText(source, maxBytes), source.name, kind);
}

/** The first thing that a schema found, with its place: `tensors[3].alpha: Invalid input`. */
export function describeIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  if (issue === undefined) {
    return "something is wrong";
  }
  const place = issue.path.map(step).join("").replace(/^\./, "");
  if (issue.code === "unrecognized_keys") {
    return `${place === "" ? "it" : place} has a field ${quoted(issue.keys[0] ?? "")} that is not known`;
  }
  return `${place === "" ? "" : `${place}: `}${issue.message}`;
}

function step(key: PropertyKey): string {
  if (typeof key === "number") {
    return `[${key}]`;
  }
  const name = String(key);
  return /^[A-Za-z_]\w{0,40}$/.test(name) ? `.${name}` : `[${quoted(name)}]`;
}
