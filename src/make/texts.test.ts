import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readConversations } from "../generate/rendered-conversations.js";
import { openModel } from "../model/open.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { readShippedText, shippedCalibration, shippedEvaluationTexts } from "../text/shipped-texts.js";
import { MakeFolder } from "./folder.js";
import { makeCommand } from "./make-command.js";
import { readSource } from "./source.js";
import { prepareTexts } from "./texts.js";

const model = fixture("tiny-moe-q8_0.gguf");

/** Lines that say something of their own. */
const longLines = (text: string) => text.split("\n").filter((line) => line.length > 60);

test("without texts there is a mix in which every part has all kinds, and a text of each kind", async (t) => {
  const output = await temporaryFolder(t);
  const options = makeCommand.read({ model, output });
  const folder = await MakeFolder.open(output);
  t.after(() => folder.close());
  const texts = await prepareTexts(options, folder, await readSource(options));
  assert.deepEqual(
    texts.evaluation?.map(({ name }) => name),
    ["code", "manual", "prose", "languages", "tools", "chat"],
  );
  const mix = await readFile(texts.calibration.path, "utf8");
  for (const part of [mix.slice(0, 2e5), mix.slice(-2e5)]) {
    for (const sign of ["<|im_start|>assistant", "    def ", "#include", "import {", "#", "the "]) {
      assert.ok(part.includes(sign), sign);
    }
    // Letters of other scripts.
    assert.ok((part.match(/(?!\p{Script=Latin})\p{L}/gu)?.length ?? 0) > 1000);
  }
  const chats = await readConversations(join(folder.work, "evaluation-tools.jsonl"));
  assert.ok(chats.length >= 100 && chats.every(({ tools }) => (tools?.length ?? 0) > 0));
});

test("nothing that is evaluated on is in the mix", async () => {
  const mix = await readShippedText(shippedCalibration);
  const seen = new Set(
    mix.split("\n").flatMap((line) => (line === "" ? [] : longLines(JSON.parse(line).text ?? ""))),
  );
  for (const name of shippedEvaluationTexts.filter((file) => file.endsWith(".txt"))) {
    const lines = longLines(await readShippedText(name));
    const shared = lines.filter((line) => seen.has(line));
    // Licence headers, and the imports that files of one package repeat.
    assert.ok(shared.length < 0.1 * lines.length, `${name}: ${shared.length} of ${lines.length}`);
  }
  const conversations = new Set(
    mix
      .split("\n")
      .filter((line) => line.includes('"messages"'))
      .map((line) => JSON.stringify(JSON.parse(line).messages)),
  );
  for (const name of shippedEvaluationTexts.filter((file) => file.endsWith(".jsonl"))) {
    const lines = (await readShippedText(name)).split("\n").filter((line) => line !== "");
    assert.ok(lines.every((line) => !conversations.has(JSON.stringify(JSON.parse(line).messages))));
  }
});

test("a model with no template gets what was said, plainly, and is not measured on conversations", async (t) => {
  const output = await temporaryFolder(t);
  const options = makeCommand.read({ model, output });
  const folder = await MakeFolder.open(output);
  t.after(() => folder.close());
  const facts = await readSource(options);
  const source = await openModel(model);
  t.after(() => source.close());
  const metadata = new Map(
    [...facts.metadata].filter(
      ([key]) => key !== "tokenizer.chat_template" && key !== "tokenizer.ggml.tokens",
    ),
  );
  const texts = await prepareTexts(options, folder, { ...facts, metadata });
  assert.deepEqual(
    texts.evaluation?.map(({ name }) => name),
    ["code", "manual", "prose", "languages"],
  );
  assert.match(await readFile(texts.calibration.path, "utf8"), /^user: /m);
});
