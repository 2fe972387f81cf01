import assert from "node:assert/strict";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { commands as allCommands } from "../commands.js";
import { flagOf } from "../contract/flags.js";
import type { Option } from "../contract/option.js";
import { fixture, lopsided } from "../testing/command.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { temporaryFolder } from "../testing/temporary.js";

/** Clears the screen, sets its title, turns the direction of writing, begins a line of its own. */
const hostile = "a\u001b[2J\u001b]0;owned\u0007\u009b\u007f\u202e\u2028\r\nlopsided: all is well";

/** Whether nothing in it steers a terminal; line breaks are ours. */
function assertHarmless(output: string): void {
  assert.doesNotMatch(output, /(?!\n)[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
  assert.doesNotMatch(output, /^lopsided: all is well/m);
}

const commands = [
  "inspect --tensors",
  "inspect --json",
  "fit --no-library",
  "verify",
  "quantize out.gguf Q8_0",
];

for (const command of commands) {
  test(`names in a model do not reach the terminal as they are: ${command}`, async (t) => {
    const folder = await temporaryFolder(t);
    const model = await writeGgufFile(join(folder, "m.gguf"), {
      metadata: { "general.architecture": `llama${hostile}`, "general.name": hostile.repeat(2000) },
      tensors: [{ name: `blk.0.${hostile}.weight`, shape: [32, 4], type: "F32" }],
      seed: 1,
    });
    const [name = "", ...flags] = command.replace("out.gguf", join(folder, "out.gguf")).split(" ");
    const { stdout, stderr } = await lopsided([name, model, ...flags]);
    assert.ok((stdout + stderr).length > 0);
    assertHarmless(stdout);
    assertHarmless(stderr);
    if (!command.includes("--json")) {
      assert.ok(stdout.length + stderr.length < 40_000, `${stdout.length + stderr.length} characters`);
    }
  });
}

/** What is typed for a required option: hostile wherever a text of the user's or a file's can stand. */
function valueFor(name: string, paths: { model: string; text: string; output: string }): string {
  switch (name) {
    case "type":
      return "bf16";
    case "experts":
      return "1";
    case "repository":
      return `hf://${hostile}/x`;
    case "queue":
      return `redis://${hostile}`;
    case "text":
    case "texts":
      return paths.text;
    case "output":
      return paths.output;
    default:
      return paths.model;
  }
}

for (const { command } of allCommands) {
  test(`nor do names of a model, its file and its folder in ${command.name}`, async (t) => {
    const folder = join(await temporaryFolder(t), hostile);
    await mkdir(folder);
    const paths = {
      model: join(folder, `${hostile}.gguf`),
      text: join(folder, `${hostile}.txt`),
      output: join(folder, `new${hostile}`),
    };
    await writeFile(paths.text, hostile.repeat(200));
    await writeGgufFile(paths.model, {
      metadata: { "general.architecture": `llama${hostile}`, "general.name": hostile },
      tensors: [{ name: `blk.0.${hostile}.weight`, shape: [32, 4], type: "F32" }],
      seed: 1,
    });
    const args: string[] = [];
    for (const [name, row] of Object.entries<Option>(command.options)) {
      if (row.required) {
        args.push(...(row.isArgument ? [] : [flagOf(name, row)]), valueFor(name, paths));
      }
    }
    // Without these the demo would run for minutes, and the explorer's server for ever.
    const more = { demo: ["-o", paths.model], explore: ["-o", paths.output] }[command.name] ?? [];
    const { stdout, stderr } = await lopsided([command.name, ...args, ...more]);
    assert.ok((stdout + stderr).length > 0);
    assertHarmless(stdout);
    assertHarmless(stderr);
  });
}

test("nor where a model runs and its name, file and folder are such", async (t) => {
  const folder = join(await temporaryFolder(t), hostile);
  await mkdir(folder);
  const [model, imatrix] = [join(folder, `${hostile}.gguf`), join(folder, `i${hostile}`)];
  const name = `general.name=str:${hostile}`;
  const text = join(folder, `${hostile}.txt`);
  await copyFile(fixture("text/eval.txt"), text);
  const small = ["--ctx", "32", "--chunks", "1", "-t", "1"];
  for (const args of [
    ["relayout", fixture("tiny-moe-q8_0.gguf"), model, "--override-kv", name],
    ["imatrix", model, text, "-o", imatrix, "--expert-outputs", ...small],
    ["prune", model, join(folder, `p${hostile}`), "--experts", "8", "--imatrix", imatrix],
    ["compare", model, model, "--texts", text, ...small],
    ["perplexity", model, text, "--reference", model, ...small],
    ["plan", model, "-o", join(folder, "recipe.yaml"), "--bpw", "5", "--imatrix", imatrix, "-t", "1"],
    ["explore", model, "-o", folder, "--imatrix", imatrix],
  ]) {
    const { status, stdout, stderr } = await lopsided(args);
    assert.equal(status, 0, stderr);
    assertHarmless(stdout);
    assertHarmless(stderr);
  }
});

test("what is typed wrongly is shown without what steers a terminal", async () => {
  for (const args of [
    [hostile],
    [`--${hostile}`],
    ["inspect", "m.gguf", hostile],
    ["inspect", "m.gguf", `--${hostile}`],
    ["imatrix", "m.gguf", "t.txt", "-o", "i.gguf", "--format", hostile],
  ]) {
    const { status, stdout, stderr } = await lopsided(args);
    assert.equal(status, 2);
    assertHarmless(stdout);
    assertHarmless(stderr);
  }
});

test("a file's name, a folder's and an argument are shown without what steers a terminal", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "\u001b[2J\u202e.gguf");
  await writeFile(path, "no model");
  for (const args of [
    ["inspect", path],
    ["inspect", `${path}.missing`],
    ["inspect", path, "--json"],
  ]) {
    const { status, stdout, stderr } = await lopsided(args);
    assert.equal(status, 1);
    assertHarmless(stdout);
    assertHarmless(stderr);
  }
});
