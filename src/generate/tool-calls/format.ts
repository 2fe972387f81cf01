/** How a family of models writes the calls of tools. */

/** A call that a model wrote. */
export interface ToolCall {
  readonly name: string;
  /** JSON of an object. */
  readonly arguments: string;
  /** The name that the model gave the call, if its family does. */
  readonly id?: string | undefined;
}

/** A function that a model may call, in OpenAI's form. */
export interface ToolFunction {
  readonly name: string;
  /** JSON Schema of an object. */
  readonly parameters?: unknown;
}

export interface CallFormat {
  /** Texts with which calls begin. */
  readonly open: readonly string[];
  /** Text with which they end; the end of the answer if undefined. */
  readonly close?: string | undefined;
  /** An answer that begins with a brace is a call, too. */
  readonly isBare?: boolean;
  /** Texts of control tokens that the calls need. */
  readonly tokens?: readonly string[];
  /** Makes names of calls; see `newCallId`. */
  readonly newId?: () => string;
  /**
   * The calls between an opening and the closing text; undefined if they are not well-formed.
   * @param open which of the opening texts it was, or "" for a bare call
   */
  readonly parse: (body: string, tools: readonly ToolFunction[], open: string) => ToolCall[] | undefined;
}

/** An object of JSON. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a text is as JSON; undefined if it is not JSON. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Arguments as JSON, from an object or from JSON of one. */
export function argumentsText(value: unknown): string | undefined {
  const object = typeof value === "string" ? jsonOf(value) : value;
  return isObject(object) ? JSON.stringify(object) : undefined;
}

/** All of a list, or undefined if something is missing in it or it is empty. */
export function complete<Item>(items: readonly (Item | undefined)[]): Item[] | undefined {
  const found = items.filter((item) => item !== undefined);
  return found.length === items.length && found.length > 0 ? found : undefined;
}
