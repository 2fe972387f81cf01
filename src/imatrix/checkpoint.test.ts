import assert from "node:assert/strict";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { EnvironmentError } from "../errors.js";
import { temporaryFolder } from "../testing/temporary.js";
import { readCheckpoint, runName, writeCheckpoint } from "./checkpoint.js";
import type { Imatrix } from "./imatrix.js";

const run = runName({ model: "m", context: 4 }, Int32Array.of(1, 2));

function imatrixOf(sum: number): Imatrix {
  return {
    name: "x",
    format: "gguf",
    entries: new Map([["w", { sums: Float32Array.of(sum), counts: Float64Array.of(3) }]]),
    datasets: ["text"],
    chunkCount: 1,
    chunkSize: 4,
    priorWeight: undefined,
    run,
  };
}

test("a checkpoint is found again by the same run only, and the newest counts", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "x.partial");
  assert.equal(await readCheckpoint(path, run), undefined);
  await writeCheckpoint(path, imatrixOf(1));
  await writeCheckpoint(path, imatrixOf(2));
  assert.deepEqual((await readCheckpoint(path, run))?.entries, imatrixOf(2).entries);
  assert.equal(
    await readCheckpoint(path, runName({ model: "m", context: 8 }, Int32Array.of(1, 2))),
    undefined,
  );
  assert.equal(
    await readCheckpoint(path, runName({ model: "m", context: 4 }, Int32Array.of(1, 3))),
    undefined,
  );
  assert.deepEqual(await readdir(folder), ["x.partial"]);
});

test("when it cannot be written the one before stays, and the message says how to go on", async (t) => {
  const path = join(await temporaryFolder(t), "x.partial");
  await writeCheckpoint(path, imatrixOf(1));
  await mkdir(`${path}.new`);
  await assert.rejects(writeCheckpoint(path, imatrixOf(2)), (error: Error) => {
    assert.ok(error instanceof EnvironmentError);
    assert.match(
      error.message,
      /x\.partial: it cannot be written \(EISDIR\)\. .* it goes on from the last state saved\.$/,
    );
    return true;
  });
  assert.deepEqual((await readCheckpoint(path, run))?.entries, imatrixOf(1).entries);
});
