import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { FileSource } from "../bytes/source.js";
import { perplexity } from "../evaluate/measure.js";
import { AnswerFamily } from "../generate/tool-calls/families.js";
import { readGgufHeader } from "../gguf/reader.js";
import { relayout } from "../quantize/relayout.js";
import { check } from "../tasks/check.js";
import { habitsOf, sumHabits } from "../tasks/habits.js";
import { callsIn, gradeCalls, type TaskTool } from "../tasks/tool-use.js";
import { fixture } from "../testing/command.js";
import { tinyEvaluation } from "../testing/evaluation.js";
import { temporaryFolder } from "../testing/temporary.js";
import { renderCard } from "./card.js";
import { evaluationSchema } from "./evaluation.js";
import { renderReport } from "./report.js";

const model = fixture("tiny-moe-q8_0.gguf");
const damagedLayer = 1;

/** A copy of the model in which the first expert of a layer adds nothing. */
async function withoutAnExpert(path: string): Promise<void> {
  const bytes = await readFile(model);
  const file = await FileSource.open(model);
  const { tensors } = await readGgufHeader(file);
  await file.close();
  const { offset, byteLength } = tensors.find(
    ({ name }) => name === `blk.${damagedLayer}.ffn_down_exps.weight`,
  )!;
  bytes.fill(0, offset, offset + byteLength / 16);
  await writeFile(path, bytes);
}

/** How answers with a call of a tool are judged, whole or cut off by a template that ends them too soon. */
function habitsOfCalls(length: number) {
  const tools: TaskTool[] = [
    { type: "function", function: { name: "weather", parameters: { type: "object", required: ["city"] } } },
  ];
  const family = new AnswerFamily("<tool_call>");
  return ["Oslo", "Rome", "Lima"].map((city, line) => {
    const call = `<tool_call>\n{"name": "weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
    const answer = call.slice(0, length);
    const { call: steps } = gradeCalls(callsIn(answer, family, "", tools), tools, {});
    return { line, tokens: 20, truncated: false, call: steps, ...habitsOf(answer, [], false) };
  });
}

test("of a model that was damaged on purpose card and report say by what it shows, and where", async (t) => {
  const folder = await temporaryFolder(t);
  const [damaged, cut] = [join(folder, "damaged.gguf"), join(folder, "cut.gguf")];
  await withoutAnExpert(damaged);
  const template =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\nThe answer is ";
  await relayout({ model: damaged, output: cut, overrideKv: [`tokenizer.chat_template=str:${template}`] });
  const text = fixture("text/eval.txt");
  const options = { reference: model, threads: 1 };
  const measured = await perplexity({ model: cut, text, ctx: 128, chunks: 2, floor: false, ...options });
  const tasks = join(folder, "tasks.jsonl");
  const lines = (await readFile(fixture("text/tasks.jsonl"), "utf8")).split("\n").slice(0, 8);
  await writeFile(tasks, lines.join("\n"));
  const { length, rates } = await check({ model: cut, tasks, maxTokens: 100, ...options });
  const [whole, short] = [200, 30].map((characters) => sumHabits(habitsOfCalls(characters)));

  const evaluation = tinyEvaluation();
  const variants = evaluation.variants.map((variant) => ({
    ...variant,
    habits: variant.id === "quantized" ? short : whole,
    tasks: rates,
    ...(variant.id === "quantized" && { measurement: measured, length }),
  }));
  const found = evaluationSchema.parse({ ...evaluation, variants });
  const routing = measured.routing ?? [];
  const untouched = routing.filter(({ layer }) => layer <= damagedLayer);
  assert.deepEqual(
    untouched.map(({ sameExperts }) => sameExperts),
    [1, 1],
  );
  for (const shown of [renderReport(found), renderCard(found)]) {
    assert.match(shown, /in layer [23]\b/, "routing is least alike above the damage");
    assert.match(shown, /0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)/, "answers are shorter");
    assert.match(shown, /3 of 3[^\n]*0 of 3/, "calls are none");
  }
});
