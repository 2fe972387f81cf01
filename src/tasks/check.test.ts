import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CancelledError } from "../errors.js";
import { fixture } from "../testing/command.js";
import { check } from "./check.js";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lopsided-"));
});
after(() => rm(folder, { recursive: true, force: true }));

for (const step of ["load", "check"]) {
  test(`a check that is stopped at the step "${step}" ends and leaves no file`, async () => {
    const abort = new AbortController();
    const checking = check({
      model: fixture("tiny-moe-q8_0.gguf"),
      tasks: fixture("text/tasks.jsonl"),
      output: join(folder, "result.json"),
      threads: 1,
      signal: abort.signal,
      onProgress: (progress) => {
        if (progress.step === step) {
          abort.abort();
        }
      },
    });
    await assert.rejects(checking, CancelledError);
    assert.deepEqual(await readdir(folder), []);
  });
}
