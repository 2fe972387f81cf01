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

test("too few files that may be open are one sentence, without a stack", async (t) => {
  if (process.platform === "win32") {
    t.skip("Windows has no such limit");
    return;
  }
  const file = fixture("tiny-moe-q8_0.gguf");
  const script = 'ulimit -n 64 && "$@"';
  const args = ["-c", script, "sh", process.execPath, main, "inspect", file];
  const { status, stderr } = await new Promise<{ status: unknown; stderr: string }>((resolve) => {
    execFile("sh", args, (error, _, stderr) => resolve({ status: error?.code, stderr }));
  });
  assert.equal(status, 1);
  assert.equal(
    stderr,
    'lopsided: too many files are open (EMFILE); allow more, for example with "ulimit -n 1024", and try again.\n',
  );
});
