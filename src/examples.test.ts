import assert from "node:assert/strict";
import { execFile as execFileCallback } from "node:child_process";
import { copyFile, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fixture } from "./testing/command.js";
import { temporaryFolder } from "./testing/temporary.js";

const execFile = promisify(execFileCallback);
const root = fileURLToPath(new URL("..", import.meta.url));

/** The programs of a document, in order: one may use what those before it wrote. */
async function examples(document: string): Promise<string[]> {
  const text = await readFile(join(root, document), "utf8");
  return [...text.matchAll(/^```(?:js|ts)\n(.*?)^```$/gms)].map(([, program]) => program ?? "");
}

async function folderWithModel(folder: string): Promise<string> {
  await mkdir(join(folder, "node_modules"));
  await symlink(root, join(folder, "node_modules", "lopsided"), "junction");
  await copyFile(fixture("tiny-moe-q8_0.gguf"), join(folder, "model-Q8_0.gguf"));
  await copyFile(fixture("reference/imatrix.gguf"), join(folder, "imatrix.gguf"));
  for (const text of ["calibration.txt", "eval.txt"]) {
    await copyFile(fixture(join("text", text)), join(folder, text));
  }
  return folder;
}

describe("an example in the documentation runs", () => {
  for (const document of ["README.md", "docs/library.md"]) {
    it(document, async (t) => {
      const folder = await folderWithModel(await temporaryFolder(t));
      const programs = await examples(document);
      assert.ok(programs.length > 0);
      for (const [index, program] of programs.entries()) {
        const path = join(folder, `example-${index}.mjs`);
        await writeFile(path, program);
        const { stdout } = await execFile(process.execPath, [path], { cwd: folder });
        assert.match(stdout, /\S/, program);
        assert.doesNotMatch(stdout, /undefined|NaN/, program);
      }
    });
  }
});
