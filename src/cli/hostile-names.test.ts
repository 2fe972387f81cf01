import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { lopsided } from "../testing/command.js";
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
