import assert from "node:assert/strict";
import { after, test } from "node:test";
import { MalformedInputError, UsageError } from "../errors.js";
import type { Metadata, MetadataValue } from "../gguf/metadata.js";
import { openModel } from "../model/open.js";
import { fixture } from "../testing/command.js";
import { ChatTemplate, type ChatToRender, chatTemplateOf } from "./chat-template.js";

const opened: ChatTemplate[] = [];
after(() => {
  for (const template of opened) {
    template.close();
  }
});

const conversation: ChatToRender = {
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hello" },
  ],
};

test("the tiny model's own template makes ChatML", async () => {
  const model = await openModel(fixture("tiny-moe-q8_0.gguf"));
  const template = chatTemplate(chatTemplateOf(model.metadata, model.name));
  await model.close();
  assert.equal(
    await template.render(conversation),
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
  );
  assert.doesNotMatch(await template.render({ ...conversation, addGenerationPrompt: false }), /assistant/);
});

test("a model without template gets ChatML if it has its tokens, else an error says so", async () => {
  const tokens = ["a", "<|im_start|>", "<|im_end|>"];
  const template = chatTemplate(chatTemplateOf(header({}, tokens), "m.gguf"));
  assert.equal(
    await template.render({ messages: [{ role: "user", content: "Hi" }] }),
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
  );
  assert.throws(() => chatTemplateOf(header({}, ["a"]), "m.gguf"), {
    name: "UsageError",
    message:
      "m.gguf: has no chat template (tokenizer.chat_template) and no ChatML tokens, so it cannot hold a conversation; use it for plain completions, or use an instruction-tuned model.",
  });
});

test("templates see tools, token texts and further variables", async () => {
  const template = of(
    "{{ bos_token }}{{ messages[0].content }} {{ tools | length }} {{ tools[0].function.name }} {{ enable_thinking }}{{ eos_token }}",
  );
  const chat: ChatToRender = {
    messages: [{ role: "user", content: "Hi" }],
    tools: [{ type: "function", function: { name: "look" } }],
    variables: { enable_thinking: false },
  };
  assert.equal(await template.render(chat), "<s>Hi 1 look False</s>");
  assert.equal(await template.render({ ...chat, omitBos: true }), "Hi 1 look False</s>");
});

test("with tools the named template for tool use is taken", async () => {
  const template = of("plain", { "tokenizer.chat_template.tool_use": "with tools" });
  assert.equal(await template.render({ messages: [] }), "plain");
  assert.equal(await template.render({ messages: [], tools: [] }), "plain");
  assert.equal(await template.render({ messages: [], tools: [{}] }), "with tools");
});

test("parts of text are joined, and arguments of tool calls are objects", async () => {
  const template = of(
    "{{ messages[0].content }}|{{ messages[1].tool_calls[0].function.arguments | tojson }}",
  );
  const rendered = await template.render({
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "one" },
          { type: "text", text: "two" },
        ],
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ type: "function", function: { name: "f", arguments: '{"a": 1}' } }],
      },
    ],
  });
  assert.equal(rendered, 'one\ntwo|{"a": 1}');
  await assert.rejects(
    template.render({ messages: [{ role: "user", content: [{ type: "image_url" }] }] }),
    UsageError,
  );
});

test("a template that refuses messages says why, and renders the next ones", async () => {
  const template = of(
    "{% if messages[0].role != 'user' %}{{ raise_exception('roles must alternate') }}{% endif %}fine",
  );
  await assert.rejects(template.render({ messages: [{ role: "tool", content: "" }] }), {
    name: "UsageError",
    message:
      "m.gguf: its chat template does not accept these messages: roles must alternate; change their roles, order or content.",
  });
  assert.equal(await template.render({ messages: [{ role: "user", content: "" }] }), "fine");
});

test("a template that is no Jinja is malformed", async () => {
  await assert.rejects(of("{% if %}").render({ messages: [] }), MalformedInputError);
  await assert.rejects(of("{% if 1 %}".repeat(20_000)).render({ messages: [] }), MalformedInputError);
  await assert.rejects(
    async () => of("x".repeat(1_048_577)),
    /has 1048577 characters, more than the 1048576 that a template/,
  );
});

const doubled = (first: string) =>
  `{% set ns = namespace(s=${first}) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}`;
const hostile = {
  "makes an endless list": "{% for i in range(1000000000000) %}{% endfor %}",
  "doubles a list": doubled("[1]"),
  "doubles a string": doubled("'a'"),
  "calls itself": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
  "writes a long prompt": "{% for i in range(400) %}{{ 'a' | indent(100000, true) }}{% endfor %}",
};

for (const [what, source] of Object.entries(hostile)) {
  test(`a template that ${what} is an error in words, and the process lives on`, async () => {
    const template = of(source);
    await assert.rejects(
      template.render({ messages: [] }),
      /^(MalformedInput|Usage)Error: m.gguf: its chat template/,
    );
  });
}

test("conversations of many callers do not mix", async () => {
  const template = of("{{ messages[0].content }}");
  const rendered = await Promise.all(
    Array.from({ length: 50 }, (_, i) => template.render({ messages: [{ role: "user", content: `${i}` }] })),
  );
  assert.deepEqual(
    rendered,
    rendered.map((_, i) => `${i}`),
  );
});

function of(template: string, more: Readonly<Record<string, string>> = {}): ChatTemplate {
  const strings = Object.entries({ "tokenizer.chat_template": template, ...more });
  return chatTemplate(chatTemplateOf(header(Object.fromEntries(strings), ["<s>", "</s>"]), "m.gguf"));
}

function header(strings: Readonly<Record<string, string>>, tokens: readonly string[]): Metadata {
  const entries = Object.entries(strings).map(([key, value]): [string, MetadataValue] => [
    key,
    { type: "string", value },
  ]);
  return new Map<string, MetadataValue>([
    ...entries,
    ["tokenizer.ggml.tokens", { type: "array", itemType: "string", value: tokens }],
    ["tokenizer.ggml.bos_token_id", { type: "uint32", value: 0 }],
    ["tokenizer.ggml.eos_token_id", { type: "uint32", value: 1 }],
  ]);
}

function chatTemplate(source: ConstructorParameters<typeof ChatTemplate>[0]): ChatTemplate {
  const template = new ChatTemplate(source);
  opened.push(template);
  return template;
}
