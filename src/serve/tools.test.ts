/** What the three APIs for chats make of calls and thoughts, over a model whose answers are written beforehand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { scriptedModel } from "../testing/scripted-model.js";

const template = "<think></think><tool_call>";
const answer =
  '<think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n</tool_call>\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>';
const parameters = { type: "object", properties: { at: { type: "string" } } };
const tools = [{ type: "function", function: { name: "look", parameters } }];
const messages = [{ role: "user", content: "Look." }];

interface Delta {
  content?: string;
  reasoning_content?: string;
  tool_calls?: { index: number; id?: string; function: { name?: string; arguments?: string } }[];
}

/** What these tests look at in the answers of all three. */
interface Whole {
  readonly model: string;
  readonly status: string;
  readonly stop_reason: string;
  readonly input_tokens: number;
  readonly choices: readonly {
    readonly finish_reason: string;
    readonly message: {
      readonly content: string;
      readonly reasoning_content: string;
      readonly tool_calls: readonly { readonly function: object }[];
    };
  }[];
  readonly content: readonly { readonly id?: string }[];
  readonly output: readonly { type: string; arguments: string; content: readonly { text: string }[] }[];
}

const json = async (response: Promise<Response>) => (await (await response).json()) as Whole;

/** The events of a stream. */
async function eventsOf<Event = Record<string, unknown>>(response: Response): Promise<Event[]> {
  const lines = (await response.text()).split("\n").filter((line) => line.startsWith("data: {"));
  return lines.map((line) => JSON.parse(line.slice(6)) as Event);
}

test("calls and thoughts of a chat are told from what is said, streamed or not", async () => {
  const { ask } = scriptedModel(template, [answer, answer]);
  const whole = await json(ask("/v1/chat/completions", { messages, tools }));
  const [choice] = whole.choices;
  assert.equal(choice?.finish_reason, "tool_calls");
  assert.equal(choice?.message.content, "I look.");
  assert.equal(choice?.message.reasoning_content, "Hm.");
  assert.deepEqual(
    choice?.message.tool_calls.map((call) => call.function),
    [
      { name: "look", arguments: '{"at":"x"}' },
      { name: "look", arguments: "{}" },
    ],
  );
  const response = await ask("/v1/chat/completions", { messages, tools, stream: true });
  const events = await eventsOf<{ choices: { delta: Delta; finish_reason: string | null }[] }>(response);
  const deltas = events.flatMap((event) => event.choices.map(({ delta }) => delta));
  assert.equal(deltas.map(({ content = "" }) => content).join(""), "I look.");
  assert.equal(deltas.map(({ reasoning_content: text = "" }) => text).join(""), "Hm.");
  const calls: { name: string; arguments: string; ids: number }[] = [];
  for (const { index, id, function: part } of deltas.flatMap(({ tool_calls = [] }) => tool_calls)) {
    calls[index] ??= { name: "", arguments: "", ids: 0 };
    calls[index].name += part.name ?? "";
    calls[index].arguments += part.arguments ?? "";
    calls[index].ids += id === undefined ? 0 : 1;
  }
  assert.deepEqual(calls, [
    { name: "look", arguments: '{"at":"x"}', ids: 1 },
    { name: "look", arguments: "{}", ids: 1 },
  ]);
  assert.equal(events.at(-1)?.choices[0]?.finish_reason, "tool_calls");
});

test("one call at most is given if that is wanted, and none without tools", async () => {
  const { ask } = scriptedModel(template, [answer, answer, answer]);
  const one = await json(ask("/v1/chat/completions", { messages, tools, parallel_tool_calls: false }));
  assert.equal(one.choices[0]?.message.tool_calls.length, 1);
  for (const body of [{ messages }, { messages, tools, tool_choice: "none" }]) {
    const none = await json(ask("/v1/chat/completions", body));
    assert.equal(none.choices[0]?.finish_reason, "stop");
    assert.match(none.choices[0]?.message.content ?? "", /^I look\.\n<tool_call>/);
  }
});

test("a last message of the assistant is continued", async () => {
  const { ask, prompts } = scriptedModel(template, ["lo"]);
  const begun = [...messages, { role: "assistant", content: "Hel" }];
  const whole = await json(ask("/v1/chat/completions", { messages: begun }));
  assert.equal(whole.choices[0]?.message.content, "lo");
  assert.match(prompts[0] ?? "", /"Look\."\}\].*\}Hel$/);
});

test("any name of a model is answered under the served one, and refusals are read", async () => {
  const { ask, prompts } = scriptedModel(template, ["Yes."]);
  const said = [
    { role: "user", content: "a" },
    { role: "assistant", content: [{ type: "refusal", refusal: "No." }] },
    { role: "user", content: "b" },
  ];
  const whole = await json(ask("/v1/chat/completions", { model: "gpt-9", messages: said }));
  assert.equal(whole.model, "scripted");
  assert.match(prompts[0] ?? "", /"No\."/);
});

test("Anthropic's messages have the same as blocks, streamed or not", async () => {
  const { ask, prompts } = scriptedModel(template, [answer, answer]);
  const body = {
    max_tokens: 100,
    system: "Be brief.",
    messages: [
      { role: "user", content: "Look." },
      { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "look", input: { at: "y" } }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "nothing" }] },
    ],
    tools: [{ name: "look", input_schema: parameters }],
  };
  const whole = await json(ask("/v1/messages", body));
  assert.equal(whole.stop_reason, "tool_use");
  assert.deepEqual(
    whole.content.map(({ id: _, ...block }) => block),
    [
      { type: "thinking", thinking: "Hm.", signature: "" },
      { type: "text", text: "I look." },
      { type: "tool_use", name: "look", input: { at: "x" } },
      { type: "tool_use", name: "look", input: {} },
    ],
  );
  const prompt = prompts[0] ?? "";
  assert.match(prompt, /"role":"tool","tool_call_id":"t1","content":"nothing"/);
  assert.match(prompt, /"arguments":\{"at":"y"\}/);
  const events = await eventsOf<{
    type: string;
    delta?: { type?: string; text?: string; stop_reason?: string };
  }>(await ask("/v1/messages", { ...body, stream: true }));
  const types = events.map(({ type }) => type);
  assert.deepEqual(
    [types[0], types.at(-2), types.at(-1)],
    ["message_start", "message_delta", "message_stop"],
  );
  assert.equal(types.filter((type) => type === "content_block_start").length, 4);
  assert.equal(types.filter((type) => type === "content_block_stop").length, 4);
  assert.equal(
    events.map(({ delta }) => (delta?.type === "text_delta" ? delta.text : "")).join(""),
    "I look.",
  );
  assert.equal(events.at(-2)?.delta?.stop_reason, "tool_use");
});

test("Anthropic's errors and counts have their own form", async () => {
  const { ask } = scriptedModel(template, []);
  const wrong = await ask("/v1/messages", { messages, max_tokens: 1, container: "x" });
  assert.equal(wrong.status, 400);
  assert.deepEqual(await wrong.json(), {
    type: "error",
    error: { type: "invalid_request_error", message: "container: is not supported here; leave it out." },
  });
  const counted = await json(ask("/v1/messages/count_tokens", { messages }));
  assert.ok(counted.input_tokens > 10);
});

test("responses have the same as items, streamed or not", async () => {
  const { ask, prompts } = scriptedModel(template, [answer, answer]);
  const body = {
    instructions: "Be brief.",
    input: [
      { role: "user", content: [{ type: "input_text", text: "Look." }] },
      { type: "function_call", call_id: "c1", name: "look", arguments: '{"at":"y"}' },
      { type: "function_call_output", call_id: "c1", output: "nothing" },
    ],
    tools: [{ type: "function", name: "look", parameters }],
  };
  const whole = await json(ask("/v1/responses", body));
  assert.equal(whole.status, "completed");
  assert.deepEqual(
    whole.output.map(({ type }) => type),
    ["reasoning", "message", "function_call", "function_call"],
  );
  assert.equal(whole.output[1]?.content[0]?.text, "I look.");
  assert.equal(whole.output[2]?.arguments, '{"at":"x"}');
  assert.match(prompts[0] ?? "", /"role":"tool","tool_call_id":"c1","content":"nothing"/);
  const events = await eventsOf<{
    type: string;
    delta?: string;
    sequence_number: number;
    response?: { output: object[] };
  }>(await ask("/v1/responses", { ...body, stream: true }));
  assert.deepEqual(
    events.map(({ sequence_number }) => sequence_number),
    events.map((_, index) => index),
  );
  const said = events.filter(({ type }) => type === "response.output_text.delta");
  assert.equal(said.map(({ delta }) => delta).join(""), "I look.");
  assert.equal(events.at(-1)?.type, "response.completed");
  assert.equal(events.at(-1)?.response?.output.length, 4);
});

test("streams send their headers at once", async () => {
  const { ask } = scriptedModel(template, ["x"]);
  const response = await ask("/v1/chat/completions", { messages, stream: true });
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const text = await response.text();
  assert.ok(text.startsWith(": begin\n\n"));
  assert.ok(text.endsWith("data: [DONE]\n\n"));
});
