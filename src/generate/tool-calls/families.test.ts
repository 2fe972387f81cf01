/** Answers of each family, in the shape that its models write them, cut everywhere. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { AnswerPart } from "./answer-parser.js";
import { AnswerFamily } from "./families.js";
import type { ToolFunction } from "./format.js";

const tools: ToolFunction[] = [
  {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" }, tags: { type: "array" } },
    },
  },
  { name: "now" },
];

interface Outcome {
  readonly content?: string;
  readonly reasoning?: string;
  /** Name, arguments, and the call's own name if the model gave it one. */
  readonly calls?: readonly (readonly [name: string, given: unknown, id?: string])[];
}

function outcomeOf(parts: readonly AnswerPart[]): Outcome {
  const text = (type: string) =>
    parts.map((part) => (part.type !== "call" && part.type === type ? part.text : "")).join("");
  const calls = parts.flatMap((part) => {
    if (part.type !== "call") {
      return [];
    }
    const { name, arguments: given, id } = part.call;
    const value: unknown = JSON.parse(given);
    return [id === undefined ? ([name, value] as const) : ([name, value, id] as const)];
  });
  const [content, reasoning] = [text("content"), text("reasoning")];
  return {
    ...(content === "" ? {} : { content }),
    ...(reasoning === "" ? {} : { reasoning }),
    ...(calls.length === 0 ? {} : { calls }),
  };
}

function parse(template: string, pieces: readonly string[], prompt = "", given = tools): Outcome {
  const parser = new AnswerFamily(template).parser({ tools: given, prompt });
  return outcomeOf([...pieces.flatMap((piece) => parser.add(piece)), ...parser.end()]);
}

/** The answer is the same however it is cut. */
function check(template: string, answer: string, expected: Outcome, prompt = ""): void {
  assert.deepEqual(parse(template, [answer], prompt), expected);
  assert.deepEqual(parse(template, [...answer], prompt), expected, "one character at a time");
  for (let at = 1; at < answer.length; at++) {
    assert.deepEqual(
      parse(template, [answer.slice(0, at), answer.slice(at)], prompt),
      expected,
      `cut at ${at}`,
    );
  }
}

const paris = { city: "Paris", days: 3 };
const bothCalls = {
  calls: [
    ["get_weather", paris],
    ["now", {}],
  ],
} as const;
const json = (name: string, given: object) => JSON.stringify({ name, arguments: given });

/** Template marks, an answer that calls both tools, and what is expected. */
const families: Record<string, readonly [template: string, answer: string, expected: Outcome]> = {
  hermes: [
    "<tool_call>",
    `Let me look.\n<tool_call>\n${json("get_weather", paris)}\n</tool_call>\n<tool_call>\n${json("now", {})}\n</tool_call>`,
    { content: "Let me look.", ...bothCalls },
  ],
  "qwen3-coder": [
    "<tool_call>\n<function=example>\n<parameter=x>",
    "I look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
    { content: "I look.", ...bothCalls },
  ],
  glm: [
    "<tool_call><arg_key>",
    "\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>",
    bothCalls,
  ],
  "deepseek v3": [
    "<｜tool▁calls▁begin｜>",
    'Sure.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris", "days": 3}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    { content: "Sure.", ...bothCalls },
  ],
  "deepseek v3.1": [
    "<｜tool▁calls▁begin｜>",
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris", "days": 3}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    bothCalls,
  ],
  "deepseek v3.2": [
    "<｜DSML｜function_calls>",
    '\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Paris</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name="now">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    bothCalls,
  ],
  kimi: [
    "<|tool_calls_section_begin|>",
    'Yes.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Paris", "days": 3}<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>',
    {
      content: "Yes.",
      calls: [
        ["get_weather", paris, "functions.get_weather:0"],
        ["now", {}, "functions.now:1"],
      ],
    },
  ],
  minimax: [
    "<minimax:tool_call>",
    'I look.\n\n<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n<invoke name="now">\n</invoke>\n</minimax:tool_call>',
    { content: "I look.", ...bothCalls },
  ],
  mistral: [
    "[TOOL_CALLS]",
    `[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}, "id": "a1b2c3d4e"}, {"name": "now", "arguments": {}, "id": "f1b2c3d4e"}]`,
    {
      calls: [
        ["get_weather", paris, "a1b2c3d4e"],
        ["now", {}, "f1b2c3d4e"],
      ],
    },
  ],
  "mistral v13": [
    "[TOOL_CALLS][ARGS]",
    'Well.[TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 3}[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{}',
    {
      content: "Well.",
      calls: [
        ["get_weather", paris],
        ["now", {}, "123456789"],
      ],
    },
  ],
  "llama 3": [
    '"parameters": ',
    '{"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}; {"name": "now", "parameters": {}}',
    bothCalls,
  ],
  "llama 3 with its token": [
    "<|python_tag|>",
    '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}',
    { calls: [["get_weather", paris]] },
  ],
  harmony: [
    "<|channel|><|message|>",
    '<|channel|>analysis<|message|>They ask for weather.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Paris", "days": 3}<|call|>',
    { reasoning: "They ask for weather.", content: "I look.", calls: [["get_weather", paris]] },
  ],
  granite: ["<|tool_call|>", `<|tool_call|>[${json("get_weather", paris)}, ${json("now", {})}]`, bothCalls],
  "command r": [
    "<|START_ACTION|>",
    '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Paris", "days": 3}}, {"tool_call_id": "1", "tool_name": "now", "parameters": {}}]<|END_ACTION|>',
    bothCalls,
  ],
  lfm2: [
    "List of tools: [",
    `Let me see.<|tool_call_start|>[get_weather(city="Paris", days=3), now()]<|tool_call_end|>`,
    { content: "Let me see.", ...bothCalls },
  ],
  "lfm2 with values of every kind": [
    "<|tool_call_start|>",
    String.raw`<|tool_call_start|>[get_weather(city='L\'Aquila, \u00e9 "x" )]', days=-3, tags=[True, None, 1.5e3, {'a': [], "b": 'c'},],)]<|tool_call_end|>`,
    {
      calls: [
        [
          "get_weather",
          { city: `L'Aquila, é "x" )]`, days: -3, tags: [true, null, 1500, { a: [], b: "c" }] },
        ],
      ],
    },
  ],
  "gemma 4": [
    "<|tool_call><|channel>thought\n<channel|>",
    '<|channel>thought\nThey ask.\n<channel|>I look.<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:3}<tool_call|><|tool_call>call:now{}<tool_call|>',
    { reasoning: "They ask.", content: "I look.", ...bothCalls },
  ],
  "gemma 4 with values of every kind": [
    "<|tool_call>",
    '<|tool_call>call:get_weather{city:<|"|>a "b", {c}: <tool_call|>\n<|"|>,days:-1,tags:[true,null,{<|"|>x y<|"|>:[],z:0.5}]}<tool_call|>',
    {
      calls: [
        [
          "get_weather",
          { city: 'a "b", {c}: <tool_call|>\n', days: -1, tags: [true, null, { "x y": [], z: 0.5 }] },
        ],
      ],
    },
  ],
  functionary: [
    "<function=",
    '<function=get_weather>{"city": "Paris", "days": 3}</function><function=now>{}</function>',
    bothCalls,
  ],
  "seed-oss": [
    "<seed:tool_call><seed:think>",
    "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Paris</parameter>\n<parameter=days>3</parameter>\n</function>\n</seed:tool_call>\n<seed:tool_call>\n<function=now>\n</function>\n</seed:tool_call>",
    bothCalls,
  ],
};

for (const [family, [template, answer, expected]] of Object.entries(families)) {
  test(`calls of ${family} are found, wherever their text is cut`, () => check(template, answer, expected));
}

test("what is no well-formed call stays text", () => {
  const answers: readonly (readonly [template: string, answer: string])[] = [
    ["<tool_call>", 'Write <tool_call> and then\n {"name": 1} </tool_call> so.'],
    ["<tool_call>", '<tool_call>{"name": "now", "arguments": {</tool_call>'],
    ["<tool_call>", "a <tool"],
    ["<tool_call>", "a < b and c </tool_call> d\n"],
    ["<tool_call>\n<function=", "<tool_call>\n<function=now>\n<parameter=x>1\n</function>\n</tool_call>"],
    ["<arg_key>", "<tool_call>now <arg_key>x</arg_key></tool_call>"],
    ["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now{}<｜tool▁calls▁end｜>"],
    ["<|tool_calls_section_begin|>", "<|tool_calls_section_begin|>now{}"],
    ["<minimax:tool_call>", "<minimax:tool_call>now</minimax:tool_call> x"],
    ["[TOOL_CALLS]", "[TOOL_CALLS]now{"],
    ["List of tools: ", "<|tool_call_start|>[now(1)]<|tool_call_end|>"],
    ["List of tools: ", "<|tool_call_start|>[now()<|tool_call_end|>"],
    ["List of tools: ", `<|tool_call_start|>[now(x=${"[".repeat(100)}${"]".repeat(100)})]<|tool_call_end|>`],
    ["<|tool_call>", '<|tool_call>call:now{x:<|"|>1}<tool_call|>'],
    ["<|tool_call>", "<|tool_call>now{}<tool_call|> so"],
    ['"parameters": ', '{"name": "someone", "parameters": {}}'],
    ['"parameters": ', '{"answer": 42}'],
  ];
  for (const [template, answer] of answers) {
    check(template, answer, { content: answer });
  }
  check("<|channel|><|message|>", "<|channel|>commentary to=functions.now<|message|>{", {
    content: "<|channel|>commentary to=functions.now<|message|>{",
  });
});

test("the closing text may stand in an argument, and a call may lack it", () => {
  const given = { city: "</tool_call>" };
  check("<tool_call>", `<tool_call>${json("get_weather", given)}</tool_call>`, {
    calls: [["get_weather", given]],
  });
  check("<tool_call>", `<tool_call>${json("now", {})}`, { calls: [["now", {}]] });
});

test("without tools no calls are looked for", () => {
  const answer = `<tool_call>${json("now", {})}</tool_call>`;
  assert.deepEqual(parse("<tool_call>", [answer], "", []), { content: answer });
});

test("what a model thinks is told from what it says, before calls as well", () => {
  const template = "<think></think><tool_call>";
  const said = { reasoning: "Hm < 3.", content: "It is 2 < 3." };
  check(template, "<think>\nHm < 3.\n</think>\n\nIt is 2 < 3.", said);
  check(template, "Hm < 3.\n</think>\n\nIt is 2 < 3.", said, "<|im_start|>assistant\n<think>\n");
  check(template, "It is\n2 < 3.", { content: "It is\n2 < 3." });
  check(template, "<think>Never en", { reasoning: "Never en" });
  check(template, `<think>\nHm.\n</think>\n\n<tool_call>${json("now", {})}</tool_call>`, {
    reasoning: "Hm.",
    calls: [["now", {}]],
  });
  check("[THINK][/THINK][TOOL_CALLS]", "[THINK]Hm.[/THINK][TOOL_CALLS]now[ARGS]{}", {
    reasoning: "Hm.",
    calls: [["now", {}]],
  });
  check(
    "<|channel|><|message|>",
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>42",
    {
      reasoning: "Hm.",
      content: "42",
    },
  );
});

test("arguments have the types of their schema", () => {
  const call = (city: string, tags: string) =>
    `<tool_call><function=get_weather><parameter=city>${city}</parameter><parameter=tags>${tags}</parameter></function></tool_call>`;
  const template = "<tool_call>\n<function=";
  const given = (answer: string) => parse(template, [answer]).calls?.[0]?.[1];
  assert.deepEqual(given(call("12", '["a"]')), { city: "12", tags: ["a"] });
  assert.deepEqual(given(call("{}", "none")), { city: "{}", tags: "none" });
});

const real = fileURLToPath(
  new URL("../../../../shared/reference/chat-templates/cases.json", import.meta.url),
);
test("real templates are recognized", { skip: !existsSync(real) }, () => {
  const { templates } = JSON.parse(readFileSync(real, "utf8")) as { templates: Record<string, string> };
  const samples: Record<string, string> = {
    "Qwen3-Coder.jinja": families["qwen3-coder"]?.[1] ?? "",
    "Qwen-Qwen3-0.6B.jinja": families.hermes?.[1] ?? "",
    "GLM-4.7-Flash.jinja": families.glm?.[1] ?? "",
    "deepseek-ai-DeepSeek-V3.1.jinja": families["deepseek v3.1"]?.[1] ?? "",
    "deepseek-ai-DeepSeek-V3.2.jinja": families["deepseek v3.2"]?.[1] ?? "",
    "LFM2.5-Instruct.jinja": families.lfm2?.[1] ?? "",
    "google-gemma-4-31B-it.jinja": families["gemma 4"]?.[1] ?? "",
    "google-gemma-4-31B-it-interleaved.jinja": families["gemma 4"]?.[1] ?? "",
    "Kimi-K2-Instruct.jinja": families.kimi?.[1] ?? "",
    "mistralai-Mistral-Nemo-Instruct-2407.jinja": families.mistral?.[1] ?? "",
    "unsloth-mistral-Devstral-Small-2507.jinja": families["mistral v13"]?.[1] ?? "",
    "meta-llama-Llama-3.1-8B-Instruct.jinja": families["llama 3"]?.[1] ?? "",
    "meta-llama-Llama-3.2-3B-Instruct.jinja": families["llama 3"]?.[1] ?? "",
    "meta-llama-Llama-3.3-70B-Instruct.jinja": families["llama 3"]?.[1] ?? "",
    "stepfun-ai-Step-3.5-Flash.jinja": families["qwen3-coder"]?.[1] ?? "",
    "meetkai-functionary-medium-v3.1.jinja": families.functionary?.[1] ?? "",
  };
  for (const [name, answer] of Object.entries(samples)) {
    assert.equal(parse(templates[name] ?? "", [answer]).calls?.length, 2, name);
  }
});
