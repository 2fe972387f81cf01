/** Calls written as JSON: Hermes and Qwen, Granite, Mistral, Llama 3, Command R, Functionary, Apriel. */
import { randomBytes } from "node:crypto";
import { argumentsText, type CallFormat, complete, isObject, jsonOf, type ToolCall } from "./format.js";

/** A call as most families write it, under one of the names that they give its parts. */
function callOf(value: unknown): ToolCall | undefined {
  const inner = isObject(value) && isObject(value.function) ? value.function : value;
  if (!isObject(inner)) {
    return undefined;
  }
  const name = inner.name ?? inner.tool_name;
  const given = argumentsText(inner.arguments ?? inner.parameters ?? {});
  const id = isObject(value) && typeof value.id === "string" ? value.id : undefined;
  return typeof name === "string" && name !== "" && given !== undefined
    ? { name, arguments: given, ...(id === undefined ? {} : { id }) }
    : undefined;
}

/** One call of JSON, or a list of them. */
export function plainCalls(body: string): ToolCall[] | undefined {
  const value = jsonOf(body);
  return complete((Array.isArray(value) ? value : [value]).map(callOf));
}

/** Calls as the whole answer, which a grammar sees to. */
export const plainJson: CallFormat = {
  open: [],
  isBare: true,
  parse(body, tools) {
    const calls = plainCalls(body);
    return calls?.every((call) => tools.some(({ name }) => name === call.name)) ? calls : undefined;
  },
};

/** `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` */
export const hermes: CallFormat = { open: ["<tool_call>"], close: "</tool_call>", parse: plainCalls };

/** `<tool_calls>[{...}]</tool_calls>` */
export const apriel: CallFormat = { open: ["<tool_calls>"], close: "</tool_calls>", parse: plainCalls };

/** `<|tool_call|>[{...}]`, or the same with `<tool_call>` */
export const granite: CallFormat = {
  open: ["<|tool_call|>", "<tool_call>"],
  tokens: ["<|tool_call|>"],
  parse: (body) => plainCalls(body.replace(/<\/tool_call>\s*$/, "")),
};

/** `<|START_ACTION|>[{"tool_call_id": "0", "tool_name": ..., "parameters": {...}}]<|END_ACTION|>` */
export const commandR: CallFormat = {
  open: ["<|START_ACTION|>"],
  close: "<|END_ACTION|>",
  tokens: ["<|START_ACTION|>", "<|END_ACTION|>"],
  parse: plainCalls,
};

/** `<function=name>{...}</function>` */
export const functionary: CallFormat = {
  open: ["<function="],
  close: "</function>",
  parse(body) {
    const [, name = "", text = ""] = /^([^>\s]+)>([\s\S]*)$/.exec(body) ?? [];
    const given = argumentsText(text.trim() === "" ? {} : text);
    return name === "" || given === undefined ? undefined : [{ name, arguments: given }];
  },
};

/**
 * `{"name": ..., "parameters": {...}}` as the whole answer, several with semicolons between them, after
 * `<|python_tag|>` or not. Without it, the name must be one of a tool: other answers are JSON, too.
 */
export const llama3: CallFormat = {
  open: ["<|python_tag|>"],
  tokens: ["<|python_tag|>"],
  isBare: true,
  parse(body, tools, open) {
    const calls = plainCalls(body) ?? plainCalls(`[${body.trim().replace(/\}\s*;\s*\{/g, "},{")}]`);
    const isKnown = (call: ToolCall) => open !== "" || tools.some(({ name }) => name === call.name);
    return calls?.every(isKnown) ? calls : undefined;
  },
};

/** Calls of Mistral's models have names of nine letters and digits. */
const mistralId = () => randomBytes(9).toString("base64").replace(/[+/=]/g, "0").slice(0, 9);

/** `[TOOL_CALLS][{"name": ..., "arguments": {...}, "id": ...}]`, or `[TOOL_CALLS]name[CALL_ID]id[ARGS]{...}` */
export const mistral: CallFormat = {
  open: ["[TOOL_CALLS]"],
  tokens: ["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"],
  newId: mistralId,
  parse(body) {
    if (body.trim().startsWith("[{")) {
      return plainCalls(body);
    }
    const calls = body.split("[TOOL_CALLS]").map((part) => {
      const [, name = "", , id, text = ""] =
        /^\s*([^\s[{]+)(\[CALL_ID\]([^\s[]+))?(?:\[ARGS\])?\s*(\{[\s\S]*\})\s*$/.exec(part) ?? [];
      const given = argumentsText(text);
      return given === undefined
        ? undefined
        : { name, arguments: given, ...(id === undefined ? {} : { id }) };
    });
    return complete(calls);
  },
};
