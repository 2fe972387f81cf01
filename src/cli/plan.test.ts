import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { PlanResult } from "../budget/plan.js";
import { quantize } from "../quantize/quantize.js";
import { parseRecipe } from "../recipe/recipe.js";
import { fixture, lopsided } from "../testing/command.js";
import { temporaryFolder } from "../testing/temporary.js";

const model = fixture("tiny-moe-q8_0.gguf");
// Types that are measured in no time.
const limits = ["routed=Q4_0,Q8_0", "attention=Q8_0", "embedding=Q8_0", "output=Q8_0"].flatMap((limit) => [
  "--allow",
  limit,
]);

test("plan writes a recipe and prints the types, the budget and what it is predicted to lose", async (t) => {
  const folder = await temporaryFolder(t);
  const recipe = join(folder, "planned.yaml");
  const common = ["plan", model, "-o", recipe, "--errors", join(folder, "errors.jsonl"), ...limits];
  const { status, stdout, stderr } = await lopsided([...common, "--bpw", "6"]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^type +tensors +size +of the divergence\n(?:\S+ +\d+ +[\d.]+ [kMG]?B +[\d.]+ %\n)+/);
  assert.match(stdout, /planned\.yaml: [\d.]+ MB \(\d+ bytes\), [56]\.\d{3} bits per weight/);
  assert.match(stdout, /budget: 6 bits per weight, \d+ bytes, of which \d+ are used/);
  assert.match(
    stdout,
    /predicted KL divergence [\d.]+ nats \(proven optimal\); sensitivity: defaults, errors: measured/,
  );
  const written = parseRecipe(await readFile(recipe, "utf8"), recipe);
  assert.ok(written.rules.some(({ type }) => type === "Q4_0"));

  const byTarget = await lopsided([...common, "--target-kld", "0.02", "--json"]);
  assert.equal(byTarget.status, 0, byTarget.stderr);
  const planned = JSON.parse(byTarget.stdout) as PlanResult;
  assert.ok(planned.predicted <= 0.02 && planned.budget.used === planned.budget.bytes);
});

test("plan says in one sentence which option is wrong, as it was typed", async (t) => {
  const common = ["plan", model, "-o", join(await temporaryFolder(t), "planned.yaml")];
  for (const [args, message] of [
    [["--bpw", "3", "--target-kld", "0.2"], /a plan needs one budget: --memory .*--target-kld/],
    [["--bpw", "3", "--allow", "routed=Q9_9"], /"Q9_9" is not a tensor type/],
    [["--bpw", "3", "--at-least", "expert=Q4_K"], /"expert" is not a role/],
  ] as const) {
    const { status, stderr } = await lopsided([...common, ...args]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
  }
});

test("a misspelt option is answered with the right one, on the command line and in the library", async () => {
  const { status, stderr } = await lopsided(["quantize", model, "out.gguf", "--imatix", "x"]);
  assert.notEqual(status, 0);
  assert.match(stderr, /Did you mean --imatrix\?/);
  const misspelt = { model, output: "out.gguf", imatix: "x" };
  await assert.rejects(quantize(misspelt), /quantize has no option `imatix`; did you mean `imatrix`\?/);
});
