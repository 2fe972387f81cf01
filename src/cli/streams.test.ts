import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { relayout } from "../quantize/relayout.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";

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

/** Runs the command line where the system lets it open so many files only. */
async function withOpenFiles(most: number, ...args: readonly string[]) {
  const words = ["-c", `ulimit -n ${most} && "$@"`, "sh", process.execPath, ...args];
  return await new Promise<{ status: unknown; stdout: string; stderr: string }>((resolve) => {
    execFile("sh", words, (error, stdout, stderr) => resolve({ status: error?.code ?? 0, stdout, stderr }));
  });
}

const tooMany =
  /^lopsided: (?:.*: )?too many files are open(?: \(EMFILE\))?; (?:raise the limit \(ulimit -n\)|allow more, for example with "ulimit -n 1024", and try again)\.\n$/;

test("too few files that may be open are one sentence, without a stack", async (t) => {
  if (process.platform === "win32") {
    t.skip("Windows has no such limit");
    return;
  }
  const { status, stderr } = await withOpenFiles(64, main, "inspect", fixture("tiny-moe-q8_0.gguf"));
  assert.equal(status, 1);
  assert.match(stderr, tooMany);
});

test("wherever in the work they run out, or else it is done", async (t) => {
  if (process.platform === "win32") {
    t.skip("Windows has no such limit");
    return;
  }
  const folder = await temporaryFolder(t);
  const set = join(folder, "set.gguf");
  const { files } = await relayout({
    model: fixture("tiny-moe-q8_0.gguf"),
    output: set,
    splitMaxSize: 1e6,
  });
  const [{ path: first = "" } = {}] = files;
  assert.ok(files.length > 10);
  for (const [at, most] of [70, 95, 120, 130, 145].entries()) {
    const commands = [
      ["quantize", first, join(folder, `${at}.gguf`), "--base", "Q4_0", "--allow-requantize", "-t", "4"],
      ["plan", first, "-o", join(folder, `${at}.yaml`), "--bpw", "5", "--effort", "fast", "-t", "1"],
    ];
    for (const command of commands) {
      const { status, stderr } = await withOpenFiles(most, main, ...command);
      if (status !== 0) {
        assert.equal(status, 1, stderr);
        assert.match(stderr, tooMany);
      }
    }
  }
});

test("a package that is not found where few files may be open has not been opened", async (t) => {
  if (process.platform === "win32") {
    t.skip("Windows has no such limit");
    return;
  }
  const errors = new URL("../errors.js", import.meta.url);
  const script = `const { tooManyFiles } = await import("${errors}");
    const error = Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
    console.log(tooManyFiles(error)?.message);`;
  const args = ["--input-type=module", "-e", script];
  assert.match((await withOpenFiles(100, ...args)).stdout, /^too many files are open \(EMFILE\)/);
  assert.equal((await withOpenFiles(512, ...args)).stdout, "undefined\n");
});
