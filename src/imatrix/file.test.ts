import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { MemorySource } from "../bytes/source.js";
import { readImatrix, readImatrixFile, writeImatrixFile } from "./file.js";

const reference = fileURLToPath(new URL("../../fixtures/reference/", import.meta.url));

test("both formats are written to disk as llama-imatrix writes them", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "imatrix-"));
  t.after(() => rm(folder, { recursive: true }));
  const imatrix = await readImatrixFile(join(reference, "imatrix.gguf"));
  for (const format of ["gguf", "dat"] as const) {
    await writeImatrixFile(join(folder, `imatrix.${format}`), imatrix, format);
    const written = await readFile(join(folder, `imatrix.${format}`));
    assert.ok(written.equals(await readFile(join(reference, `imatrix.${format}`))));
  }
  assert.deepEqual((await readdir(folder)).sort(), ["imatrix.dat", "imatrix.gguf"]);
});

test("a file too short for any format says so", async () => {
  await assert.rejects(readImatrix(new MemorySource("x", new Uint8Array(3))), {
    message: "x: has only 3 bytes; an importance matrix has more.",
  });
});
