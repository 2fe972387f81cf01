import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
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
    scales: false,
  } as const;
  const output = join(folder, "made");
  const read = (names: readonly string[]) => Promise.all(names.map((name) => readFile(join(output, name))));
  const first = await make({ ...given, output, keepActivations: false });
  assert.deepEqual([first.imatrix.chunks, first.skipped], [4, []]);
  assert.deepEqual(await readdir(join(output, ".lopsided")), ["state.json"]);
  const again = await make({ ...given, output });
  assert.ok(["recipe", "quantize", "verify", "record"].every((stage) => again.skipped.includes(stage)));
  assert.ok(again.quantize.files?.length === 1 && first.quantize.sha256 === again.quantize.sha256);

  const names = ["imatrix.gguf", "imatrix.dat"];
  const own = await read(names);
  const kept = await make({ ...given, output, keepActivations: true });
  assert.ok(kept.skipped.includes("recipe") && !kept.skipped.includes("imatrix"));
  assert.deepEqual(await read(names), own);
  const typesOf = ({ quantize }: typeof kept) => quantize.tensors.map(({ name, to }) => [name, to]);
  assert.deepEqual(typesOf(first), typesOf(kept));
});
