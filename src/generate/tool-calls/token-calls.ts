/** Calls between control tokens: DeepSeek up to V3.1, Kimi K2. */
import { argumentsText, type CallFormat, complete } from "./format.js";

/** The parts between two texts, if there is nothing else. */
function partsBetween(body: string, begin: string, end: string): string[] | undefined {
  const [before = "", ...rest] = body.split(begin);
  const parts = rest.map((part) => {
    const at = part.lastIndexOf(end);
    return at < 0 || part.slice(at + end.length).trim() !== "" ? undefined : part.slice(0, at);
  });
  return before.trim() === "" ? complete(parts) : undefined;
}

const deepSeekTokens = {
  begin: "<｜tool▁calls▁begin｜>",
  end: "<｜tool▁calls▁end｜>",
  beginCall: "<｜tool▁call▁begin｜>",
  endCall: "<｜tool▁call▁end｜>",
  separator: "<｜tool▁sep｜>",
} as const;

/** `function<｜tool▁sep｜>name`, a fence of JSON (V3, R1); or `name<｜tool▁sep｜>{...}` (V3.1) */
export const deepSeek: CallFormat = {
  open: [deepSeekTokens.begin],
  close: deepSeekTokens.end,
  tokens: Object.values(deepSeekTokens),
  parse(body) {
    const parts = partsBetween(body, deepSeekTokens.beginCall, deepSeekTokens.endCall);
    const calls = parts?.map((part) => {
      const at = part.indexOf(deepSeekTokens.separator);
      const first = part.slice(0, at).trim();
      const rest = part.slice(at + deepSeekTokens.separator.length);
      const [, fencedName, fenced] = /^\s*([^\s`]+)\s*```(?:json)?\s*([\s\S]*?)\s*```\s*$/.exec(rest) ?? [];
      const name = fencedName ?? first;
      const given = argumentsText(fenced ?? rest);
      return at < 0 || name === "" || given === undefined ? undefined : { name, arguments: given };
    });
    return calls && complete(calls);
  },
};

const kimiTokens = {
  begin: "<|tool_calls_section_begin|>",
  end: "<|tool_calls_section_end|>",
  beginCall: "<|tool_call_begin|>",
  endCall: "<|tool_call_end|>",
  separator: "<|tool_call_argument_begin|>",
} as const;

/** `functions.name:0<|tool_call_argument_begin|>{...}`; the first part is the call's name in the conversation. */
export const kimi: CallFormat = {
  open: [kimiTokens.begin],
  close: kimiTokens.end,
  tokens: Object.values(kimiTokens),
  parse(body) {
    const calls = partsBetween(body, kimiTokens.beginCall, kimiTokens.endCall)?.map((part) => {
      const at = part.indexOf(kimiTokens.separator);
      const id = part.slice(0, at).trim();
      const name = id.replace(/^functions\./, "").replace(/:\d+$/, "");
      const given = argumentsText(part.slice(at + kimiTokens.separator.length));
      return at < 0 || name === "" || given === undefined ? undefined : { name, arguments: given, id };
    });
    return calls && complete(calls);
  },
};
