/** Files of conversations, given to every command that reads texts. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { sensitivity } from "../budget/sensitivity/measure.js";
import { compare } from "../compare/compare.js";
import { Engine } from "../engine/engine.js";
import { perplexity } from "../evaluate/measure.js";
import { imatrix } from "../imatrix/compute.js";
import { make } from "../make/make.js";
import { quantize } from "../quantize/quantize.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";

const model = fixture("tiny-moe-q8_0.gguf");
const engine = new Engine();
after(() => engine.close());

type Run = (text: string, output: string) => Promise<unknown>;

const commands: Readonly<Record<string, Run>> = {
  imatrix: (text, output) => imatrix({ model, text, output, engine }),
  sensitivity: (text, output) => sensitivity({ model, text, output, engine }),
  perplexity: (text) => perplexity({ model, text: [text], engine }),
  compare: (text) => compare({ source: model, models: [model], texts: [text], engine }),
  "quantize --calibration": (calibration, output) =>
    quantize({ model, output, recipe: "Q2_K", effort: "max", calibration, allowRequantize: true, engine }),
  "make --calibration": (calibration, output) => make({ model, output: `${output}-1`, calibration }),
  "make --evaluate": (text, output) => make({ model, output: `${output}-2`, evaluate: [text] }),
};

for (const [name, run] of Object.entries(commands)) {
  test(`${name} reads conversations, and names a line that is none`, async (t) => {
    const folder = await temporaryFolder(t);
    const text = join(folder, "chat.jsonl");
    const line = JSON.stringify({ messages: [{ role: "user", content: "Hello" }] });
    await writeFile(text, `${line}\n\n{"text": "Hello"}\n`);
    await assert.rejects(run(text, join(folder, "out.gguf")), /chat\.jsonl:3: .*messages/);
  });
}

test("conversations are calibrated on as the model's template writes them", async (t) => {
  const folder = await temporaryFolder(t);
  const marked = await readFile(fixture("text/calibration.txt"), "utf8");
  const turns = [...marked.matchAll(/<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>/gs)].slice(0, 40);
  const pairs = Array.from({ length: turns.length / 2 }, (_, at) => turns.slice(2 * at, 2 * at + 2));
  const [plain, lines] = [join(folder, "chat.txt"), join(folder, "chat.jsonl")];
  await writeFile(plain, pairs.map((pair) => `${pair.map(([turn]) => turn).join("\n")}\n`).join("\n\n"));
  const messages = (pair: typeof turns) => pair.map(([, role, content]) => ({ role, content }));
  await writeFile(lines, pairs.map((pair) => `${JSON.stringify({ messages: messages(pair) })}\n`).join(""));
  const outputs = { plain: join(folder, "plain.out"), lines: join(folder, "lines.out") };
  const common = { model, ctx: 64, threads: 1, engine, dataset: "chats" };
  await imatrix({ ...common, text: plain, parseSpecial: true, output: outputs.plain });
  await imatrix({ ...common, text: lines, output: outputs.lines });
  assert.deepEqual(await readFile(outputs.lines), await readFile(outputs.plain));
});
