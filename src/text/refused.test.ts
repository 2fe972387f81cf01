import assert from "node:assert/strict";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { sensitivity } from "../budget/sensitivity/measure.js";
import { compare } from "../compare/compare.js";
import { perplexity } from "../evaluate/measure.js";
import { imatrix } from "../imatrix/compute.js";
import { make } from "../make/make.js";
import { quantize } from "../quantize/quantize.js";
import { loadTasks } from "../tasks/load.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { checkText, readTextFile } from "./text.js";

const model = fixture("tiny-moe-q8_0.gguf");
const text = await readFile(fixture("text/calibration.txt"), "utf8");

test("what is no text is refused with the reason by every command that reads texts", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "text");
  const output = join(folder, "output");
  const commands = [
    () => imatrix({ model, text: path, output }),
    () => perplexity({ model, text: path }),
    () => sensitivity({ model, text: path, output }),
    () => make({ model, calibration: path, output }),
    () => make({ model, calibration: fixture("text/calibration.txt"), evaluate: path, output }),
    () => compare({ source: model, models: [model], texts: [path] }),
    () => quantize({ model, output, calibration: path, base: "Q4_0", effort: "max" }),
    () => loadTasks(path),
  ];
  const files: readonly (readonly [RegExp, Uint8Array])[] = [
    [/is a text in UTF-16; name a plain text in UTF-8\.$/, Buffer.from(`\ufeff${text}`, "utf16le")],
    [/has a NUL byte at byte 1;/, Buffer.from(text, "utf16le")],
    [/is a gzip archive;/, gzipSync(text)],
    [/is a Zstandard archive;/, Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x00, 0x01])],
    [/is a Parquet file;/, Buffer.from("PAR1 and more")],
    [/is a ZIP archive;/, Buffer.from("PK\x03\x04 and more")],
    [/is a GGUF file;/, await readFile(model)],
    [/is a safetensors file;/, await readFile(fixture("tiny-moe/model.safetensors"))],
    [/has a NUL byte at byte 2000005;/, Buffer.concat([Buffer.alloc(2_000_005, "a"), Buffer.of(0)])],
  ];
  for (const [message, bytes] of files) {
    await writeFile(path, bytes);
    for (const command of commands) {
      await assert.rejects(command(), { name: "MalformedInputError", message });
    }
  }
});

test("a text that is not UTF-8 is warned of once, and one that is, is not", async (t) => {
  const path = join(await temporaryFolder(t), "text");
  const warningsOf = async (bytes: Uint8Array) => {
    const warnings: string[] = [];
    await writeFile(path, bytes);
    await checkText(path, (warning) => warnings.push(warning));
    return warnings;
  };
  const latin1 = Buffer.from("\u00e4".repeat(3_000_000), "latin1");
  assert.deepEqual((await warningsOf(latin1)).length, 1);
  // Characters of three bytes lie across the pieces that are read.
  assert.deepEqual(await warningsOf(Buffer.from("\u20ac".repeat(1_000_000))), []);
  const cut = Buffer.from("\u20ac".repeat(1000)).subarray(0, -1);
  assert.match((await warningsOf(cut))[0] ?? "", /is not valid UTF-8 \(between bytes 0 and 2999\)/);
});

test("a text of more than two gibibytes is read as far as the chunks need", async (t) => {
  const path = join(await temporaryFolder(t), "text");
  const file = await open(path, "w");
  const line = "a line of the text, the same again and again\n";
  await file.write(line.repeat(100_000));
  await file.truncate(2 ** 31 + 5);
  await file.close();
  const bytes = Buffer.from(await readTextFile(path, 512));
  assert.equal(bytes.toString(), line.repeat(Math.floor((512 * 64 + 2 ** 20) / line.length)));
  await assert.rejects(readTextFile(path), {
    name: "UsageError",
    message: /has 2147483653 bytes, too many to be read whole; say how many chunks to read \(`chunks`\)\.$/,
  });
});
