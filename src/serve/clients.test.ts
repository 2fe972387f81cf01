/** The clients that people have run a loop of two steps with a tool, and ask for structured answers. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, jsonSchema, Output, stepCountIs, tool } from "ai";
import OpenAI from "openai";
import { serveTinyModel } from "../testing/serve.js";

const server = await serveTinyModel({ ctxSize: 4096 });
after(() => server.stop());
const baseURL = `${server.url}/v1`;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const model = "any-name";

/** The arguments are so bounded that a model which knows nothing of tools ends them. */
const parameters = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Rome"] } },
  required: ["city"],
  additionalProperties: false,
} as const;
const answerSchema = {
  type: "object",
  properties: { isWarm: { type: "boolean" }, degrees: { type: "integer", minimum: 0, maximum: 40 } },
  required: ["isWarm", "degrees"],
  additionalProperties: false,
} as const;
const question = "How warm is it in Paris?";

function checkAnswer(value: unknown): void {
  const { isWarm, degrees } = value as { isWarm: unknown; degrees: number };
  assert.equal(typeof isWarm, "boolean");
  assert.ok(Number.isInteger(degrees) && degrees >= 0 && degrees <= 40);
}

test("OpenAI's client: a tool, then an answer; streamed; structured", async () => {
  const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: question }];
  const tools: OpenAI.ChatCompletionTool[] = [
    { type: "function", function: { name: "weather", parameters } },
  ];
  const first = await client.chat.completions.create({
    model,
    messages,
    tools,
    tool_choice: "required",
    temperature: 0,
  });
  const [choice] = first.choices;
  assert.equal(choice?.finish_reason, "tool_calls");
  const [call] = choice?.message.tool_calls ?? [];
  assert.ok(choice && call?.type === "function" && call.function.name === "weather");
  assert.ok(["Paris", "Rome"].includes(JSON.parse(call.function.arguments).city));
  messages.push(choice.message, { role: "tool", tool_call_id: call.id, content: "20 degrees" });
  const second = await client.chat.completions.create({
    model,
    messages,
    tools,
    max_tokens: 8,
    temperature: 0,
  });
  assert.ok((second.choices[0]?.message.content ?? "").length > 0);
  const stream = client.chat.completions.stream({
    model,
    messages: messages.slice(0, 1),
    temperature: 0,
    tools,
    tool_choice: { type: "function", function: { name: "weather" } },
  });
  const streamed = await stream.finalChatCompletion();
  const streamedCall = streamed.choices[0]?.message.tool_calls?.[0];
  assert.ok(streamedCall?.type === "function" && streamedCall.function.name === "weather");
  const structured = await client.chat.completions.create({
    model,
    messages: messages.slice(0, 1),
    temperature: 0,
    response_format: { type: "json_schema", json_schema: { name: "answer", schema: answerSchema } },
  });
  checkAnswer(JSON.parse(structured.choices[0]?.message.content ?? ""));
});

test("OpenAI's client: the same with responses", async () => {
  const tools: OpenAI.Responses.Tool[] = [{ type: "function", name: "weather", parameters, strict: true }];
  const first = await client.responses.create({
    model,
    input: question,
    tools,
    tool_choice: "required",
    temperature: 0,
  });
  const call = first.output.find((item) => item.type === "function_call");
  assert.ok(call && call.name === "weather");
  const second = await client.responses.create({
    model,
    input: [
      { role: "user", content: question },
      ...(first.output as OpenAI.Responses.ResponseInputItem[]),
      { type: "function_call_output", call_id: call.call_id, output: "20 degrees" },
    ],
    max_output_tokens: 16,
  });
  assert.ok(second.output_text.length > 0);
  const stream = client.responses.stream({
    model,
    input: question,
    temperature: 0,
    text: { format: { type: "json_schema", name: "answer", schema: answerSchema } },
  });
  checkAnswer(JSON.parse((await stream.finalResponse()).output_text));
});

test("the AI SDK: a loop of two steps, and a structured answer", async () => {
  const provider = createOpenAICompatible({ name: "lopsided", baseURL, supportsStructuredOutputs: true });
  const asked: unknown[] = [];
  const weather = tool({
    inputSchema: jsonSchema<{ city: string }>(parameters),
    execute: async ({ city }) => {
      asked.push(city);
      return "20 degrees";
    },
  });
  const looped = await generateText({
    model: provider(model),
    prompt: question,
    temperature: 0,
    tools: { weather },
    toolChoice: "required",
    stopWhen: stepCountIs(2),
    maxRetries: 0,
  });
  assert.equal(looped.steps.length, 2);
  assert.equal(asked.length, 2);
  const structured = await generateText({
    model: provider(model),
    prompt: question,
    temperature: 0,
    output: Output.object({ schema: jsonSchema<{ isWarm: boolean; degrees: number }>(answerSchema) }),
    maxRetries: 0,
  });
  checkAnswer(structured.output);
});

test("LangChain: a tool, then an answer, and a structured one", async () => {
  const chat = new ChatOpenAI({
    model,
    apiKey: "none",
    maxTokens: 256,
    temperature: 0,
    maxRetries: 0,
    configuration: { baseURL },
  });
  const tools = [{ type: "function" as const, function: { name: "weather", parameters } }];
  const first = await chat.bindTools(tools, { tool_choice: "required" }).invoke(question);
  const [call] = first.tool_calls ?? [];
  assert.equal(call?.name, "weather", JSON.stringify(first));
  const second = await chat.invoke([
    { role: "user", content: question },
    first,
    { role: "tool", content: "20 degrees", tool_call_id: call?.id ?? "" },
  ]);
  assert.ok(String(second.content).length > 0);
  const structured = chat.withStructuredOutput(answerSchema, { name: "answer", method: "jsonSchema" });
  checkAnswer(await structured.invoke(question));
});
