import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openModel } from "../model/open.js";
import { fixture } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";
import { make } from "./make.js";

test("make with nothing kept is done once, and leaves importance matrix and model as one that keeps", async (t) => {
  const folder = await temporaryFolder(t);
  const given = {
    model: fixture("tiny-moe-q8_0.gguf"),
    calibration: fixture("text/calibration.txt"),
    parseSpecial: true,
    recipe: "Q8_0",
    effort: "max",
    calibrationTokens: 200,
    ctxCalibration: 64,
    evaluate: false,
    check: false,
    explorer: false,
  } as const;
  const [own, kept] = [join(folder, "own"), join(folder, "kept")];
  const first = await make({ ...given, output: own, keepActivations: false });
  assert.deepEqual([first.imatrix.chunks, first.skipped], [4, []]);
  const again = await make({ ...given, output: own });
  assert.ok(["recipe", "quantize", "verify", "record"].every((stage) => again.skipped.includes(stage)));
  assert.deepEqual((await readdir(join(own, ".lopsided"))).sort(), ["state.json", "unscaled.gguf"]);
  assert.ok(again.quantize.files?.length === 1 && first.quantize.sha256 === again.quantize.sha256);

  const other = await make({ ...given, output: kept });
  for (const name of ["imatrix.gguf", "imatrix.dat"]) {
    const [a, b] = await Promise.all([own, kept].map((place) => readFile(join(place, name))));
    assert.ok(a!.equals(b!), name);
  }
  const [a, b] = await Promise.all([first, other].map(({ model }) => openModel(model)));
  assert.deepEqual(
    a!.tensors.map(({ name, type }) => [name, type]),
    b!.tensors.map(({ name, type }) => [name, type]),
  );
  await Promise.all([a, b].map((source) => source!.close()));
  // What keeps begins anew in the folder of what did not.
  const changed = await make({ ...given, output: own, keepActivations: true });
  assert.ok(changed.skipped.includes("recipe") && !changed.skipped.includes("imatrix"));
  assert.ok((await readdir(own)).includes("imatrix.gguf"));
});
