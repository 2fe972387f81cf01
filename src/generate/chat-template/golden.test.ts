import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { type ChatMessage, templateMessages } from "../chat-messages.js";
import { renderTemplate } from "./interpreter.js";
import { parseTemplate } from "./parser.js";

interface Cases {
  readonly conversations: Readonly<Record<string, { readonly m: ChatMessage[]; readonly t: unknown }>>;
  readonly templates: Readonly<Record<string, string>>;
  /** What jinja2 renders; "ERR ..." if it refuses the conversation. */
  readonly expected: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const file = new URL("../../../../shared/reference/chat-templates/cases.json", import.meta.url);
const cases: Cases | undefined = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;

test("real templates render as jinja2 renders them", { skip: !cases && "no reference data" }, () => {
  let compared = 0;
  for (const [name, template] of Object.entries(cases?.templates ?? {})) {
    const program = parseTemplate(template);
    for (const [which, expected] of Object.entries(cases?.expected[name] ?? {})) {
      const conversation = cases?.conversations[which];
      if (expected.startsWith("ERR") || !conversation) {
        continue;
      }
      const variables = {
        messages: templateMessages(conversation.m),
        tools: conversation.t,
        add_generation_prompt: true,
        bos_token: "",
        eos_token: "<|im_end|>",
      };
      assert.equal(renderTemplate(program, variables, new Date(2026, 10, 25)), expected, `${name}: ${which}`);
      compared++;
    }
  }
  assert.ok(compared >= 300);
});
