/** Calls written as elements: Qwen3-Coder, GLM, MiniMax, DeepSeek from V3.2 on, Seed-OSS. */
import { type CallFormat, complete, isObject, jsonOf, type ToolCall, type ToolFunction } from "./format.js";

/** Arguments written as texts, as the types of their schema. A text that is no such value stays a text. */
function typed(
  entries: readonly (readonly [name: string, text: string])[],
  tool: ToolFunction | undefined,
): string {
  const parameters = isObject(tool?.parameters) ? tool.parameters : {};
  const properties = isObject(parameters.properties) ? parameters.properties : {};
  return JSON.stringify(
    Object.fromEntries(entries.map(([name, text]) => [name, typedValue(text, properties[name])])),
  );
}

function typedValue(text: string, schema: unknown): unknown {
  const type = isObject(schema) ? schema.type : undefined;
  const canBeString = type === "string" || (Array.isArray(type) && type.includes("string"));
  const value = canBeString ? undefined : jsonOf(text.trim());
  return value === undefined ? text : value;
}

/** All matches of a pattern, if nothing but white space is between them. */
function allMatches(text: string, pattern: RegExp): RegExpMatchArray[] | undefined {
  const rest = text.replace(pattern, "");
  return rest.trim() === "" ? [...text.matchAll(pattern)] : undefined;
}

const toolOf = (name: string, tools: readonly ToolFunction[]) => tools.find((tool) => tool.name === name);

/** A text without the line breaks that stand around it in its element. */
const unwrapped = (text: string) => text.replace(/^\n/, "").replace(/\n$/, "");

function coderCall(body: string, tools: readonly ToolFunction[]): ToolCall | undefined {
  const [, name, inner = ""] = /^\s*<function=([^>\s]+)>([\s\S]*?)<\/function>\s*$/.exec(body) ?? [];
  const found = allMatches(inner, /<parameter=([^>\s]+)>([\s\S]*?)<\/parameter>/g);
  if (name === undefined || found === undefined) {
    return undefined;
  }
  const entries = found.map(([, key = "", text = ""]) => [key, unwrapped(text)] as const);
  return { name, arguments: typed(entries, toolOf(name, tools)) };
}

const parseCoder: CallFormat["parse"] = (body, tools) => complete([coderCall(body, tools)]);

/** `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>` */
export const qwen3Coder: CallFormat = { open: ["<tool_call>"], close: "</tool_call>", parse: parseCoder };

/** The same between other tags. */
export const seedOss: CallFormat = {
  open: ["<seed:tool_call>"],
  close: "</seed:tool_call>",
  parse: parseCoder,
};

/** `<tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>` */
export const glm: CallFormat = {
  open: ["<tool_call>"],
  close: "</tool_call>",
  tokens: ["<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"],
  parse(body, tools) {
    const [, name, inner = ""] = /^\s*([^\s<{]+)\s*((?:<arg_key>[\s\S]*)?)$/.exec(body) ?? [];
    const found = allMatches(inner, /<arg_key>([\s\S]*?)<\/arg_key>\s*<arg_value>([\s\S]*?)<\/arg_value>/g);
    if (name === undefined || found === undefined) {
      return undefined;
    }
    const entries = found.map(([, key = "", text = ""]) => [key.trim(), text] as const);
    return [{ name, arguments: typed(entries, toolOf(name, tools)) }];
  },
};

/** `<invoke name="f"><parameter name="key">value</parameter></invoke>`, each tag with a prefix. */
function invocations(prefix: string): CallFormat["parse"] {
  const outer = new RegExp(`<${prefix}invoke name="([^"]+)">([\\s\\S]*?)</${prefix}invoke>`, "g");
  const inner = new RegExp(
    `<${prefix}parameter name="([^"]+)"(?: string="(true|false)")?>([\\s\\S]*?)</${prefix}parameter>`,
    "g",
  );
  return (body, tools) => {
    const calls = allMatches(body, outer)?.map(([, name = "", parameters = ""]) => {
      const found = allMatches(parameters, inner);
      if (found === undefined) {
        return undefined;
      }
      const entries = found.map(([, key = "", isText, text = ""]) => {
        const value =
          isText === undefined ? unwrapped(text) : isText === "true" ? JSON.stringify(text) : text;
        return [key, value] as const;
      });
      const isMarked = found.some(([, , isText]) => isText !== undefined);
      return { name, arguments: typed(entries, isMarked ? undefined : toolOf(name, tools)) };
    });
    return calls && complete(calls);
  };
}

/** MiniMax M2. */
export const miniMax: CallFormat = {
  open: ["<minimax:tool_call>"],
  close: "</minimax:tool_call>",
  tokens: ["<minimax:tool_call>", "</minimax:tool_call>"],
  parse: invocations(""),
};

/** DeepSeek V3.2. */
export const deepSeekV32: CallFormat = {
  open: ["<｜DSML｜function_calls>"],
  close: "</｜DSML｜function_calls>",
  tokens: ["｜DSML｜"],
  parse: invocations("｜DSML｜"),
};

/** DeepSeek V4. */
export const deepSeekV4: CallFormat = {
  ...deepSeekV32,
  open: ["<｜DSML｜tool_calls>"],
  close: "</｜DSML｜tool_calls>",
};
