import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { fixture } from "../testing/command.js";

const main = fileURLToPath(new URL("./main.js", import.meta.url));

/** Runs `lopsided` in a shell that sends its output somewhere. */
function inShell(redirection: string, ...args: string[]): Promise<{ status: number; stderr: string }> {
  return new Promise((resolve) => {
    const script = `"$@" ${redirection}`;
    execFile("sh", ["-c", script, "sh", process.execPath, main, ...args], (error, _, stderr) => {
      resolve({ status: typeof error?.code === "number" ? error.code : 0, stderr });
    });
  });
}

test("a full standard output is one sentence, and a reader that went away is no failure", async (t) => {
  if (!existsSync("/dev/full")) {
    t.skip("there is no /dev/full");
    return;
  }
  const sentence =
    "lopsided: standard output: the result cannot be written (ENOSPC); make room where it goes.\n";
  for (const format of [[], ["--json"]]) {
    const full = await inShell("> /dev/full", "inspect", fixture("tiny-moe-q8_0.gguf"), ...format);
    assert.deepEqual(full, { status: 1, stderr: sentence });
  }
  const gone = await inShell("| true", "inspect", fixture("tiny-moe-q8_0.gguf"), "--json");
  assert.deepEqual(gone, { status: 0, stderr: "" });
});
