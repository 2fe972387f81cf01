/** Tokens that stand beside the BPE model: matched as they are in a text, or never taken from plain text at all. */
import { isJsonObject, type JsonValue } from "../../../bytes/json.js";
import type { Fields } from "../fields.js";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Whether it must not come from plain text. */
  readonly isControl: boolean;
}

/** The added tokens of tokenizer.json, then those that only tokenizer_config.json has. */
export function addedTokens(tokenizer: Fields, tokenizerConfig: Fields | undefined): readonly AddedToken[] {
  const added = tokenizer.objects("added_tokens").map((token) => addedToken(token, token.requireCount("id")));
  const ids = new Set(added.map(({ id }) => id));
  const more = tokenizerConfig?.object("added_tokens_decoder");
  for (const id of more?.json.keys() ?? []) {
    if (!more || !/^(0|[1-9][0-9]{0,8})$/.test(id)) {
      more?.wrong(id, "a token's id as its name");
    } else if (!ids.has(Number(id))) {
      added.push(addedToken(more.requireObject(id), Number(id)));
    }
  }
  return added;
}

function addedToken(token: Fields, id: number): AddedToken {
  const content = token.string("content") ?? token.wrong("content", "a string");
  return { id, content, isControl: (token.flag("special") ?? false) || looksSpecial(content) };
}

/** Some makers do not mark their control tokens; the list is llama.cpp's (`conversion/base.py`). */
export function looksSpecial(token: string): boolean {
  return (
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].includes(token) ||
    /^(<\|.*\|>|<｜.*｜>|<unused.*>)$/s.test(token)
  );
}

/** Tokens that tokenizer_config.json gives a role (`eos_token`, ...); transformers makes them special. */
export function tokensWithRoles(config: Fields | undefined): readonly string[] {
  if (!config) {
    return [];
  }
  const roles = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
  const values = [...roles.map((role) => config.value(role)), ...config.items("additional_special_tokens")];
  return values.map(tokenContent).filter((token) => token !== undefined);
}

/** Text of a token that tokenizer_config.json gives as a string or as an object with its options. */
export function tokenContent(value: JsonValue | undefined): string | undefined {
  const content = isJsonObject(value) ? value.get("content") : value;
  return typeof content === "string" ? content : undefined;
}
