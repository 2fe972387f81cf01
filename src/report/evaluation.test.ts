import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EnvironmentError, InternalError, MalformedInputError } from "../errors.js";
import { largeEvaluation, tinyEvaluation } from "../testing/evaluation.js";
import { readEvaluation, renderEvaluation } from "./evaluation.js";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lopsided-evaluation-"));
});
after(() => rm(folder, { recursive: true, force: true }));

async function written(text: string): Promise<string> {
  const path = join(folder, "evaluation.json");
  await writeFile(path, text);
  return path;
}

test("what is written is read back", async () => {
  for (const evaluation of [tinyEvaluation(), largeEvaluation()]) {
    assert.deepEqual(await readEvaluation(await written(renderEvaluation(evaluation))), evaluation);
  }
});

test("results of commands are taken as they are; what the schema does not know is left out", () => {
  const evaluation = tinyEvaluation();
  const [first, ...others] = evaluation.tensors;
  const tensors = [{ ...first!, reason: "a rule", seconds: 3 }, ...others];
  assert.equal(renderEvaluation({ ...evaluation, tensors }), renderEvaluation(evaluation));
});

test("an evaluation with a figure that is no number is not written", () => {
  const evaluation = tinyEvaluation();
  assert.throws(
    () => renderEvaluation({ ...evaluation, output: { ...evaluation.output, bpw: Number.NaN } }),
    (error) => error instanceof InternalError && error.message.includes("output.bpw"),
  );
});

test("a file that is no evaluation is refused, and the place is named", async () => {
  const text = renderEvaluation(tinyEvaluation());
  for (const [damaged, place] of [
    [text.replace('"lopsided-evaluation-1"', '"lopsided-evaluation-2"'), "format"],
    [text.replace('"IQ2_S"', '"IQ2_Z"'), "groups[1].type"],
    [text.replace(/"bpw": [\d.]+/, '"bpw": "3"'), "source.bpw"],
    ["{}", "format"],
    ["[]", "expected object"],
  ] as const) {
    const path = await written(damaged);
    await assert.rejects(
      readEvaluation(path),
      (error) =>
        error instanceof MalformedInputError &&
        error.message.startsWith(path) &&
        error.message.includes(place),
      place,
    );
  }
});

test("a file that is not strict JSON is refused", async () => {
  const text = renderEvaluation(tinyEvaluation());
  for (const damaged of [
    text.slice(0, 500),
    text.replace('"name":', '"variant": "x", "name":'),
    `${"[".repeat(10_000)}`,
    "",
  ]) {
    await assert.rejects(readEvaluation(await written(damaged)), MalformedInputError);
  }
});

test("a folder without an evaluation is an error that says who writes it", async () => {
  await assert.rejects(
    readEvaluation(join(folder, "none", "evaluation.json")),
    (error) => error instanceof EnvironmentError && error.message.includes("lopsided make"),
  );
});
