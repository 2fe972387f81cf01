import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { EnvironmentError, UsageError } from "../errors.js";
import { temporaryFolder } from "../testing/temporary.js";
import { baseNames, fileTypeNumberOf, ftypeBaseType, ftypeNumber, ftypes, parseBase } from "./ftypes.js";
import { loadRecipe, parseBaseOption, presetNames } from "./presets.js";

test("the shipped presets are sound and bear their files' names", async () => {
  const names = await presetNames();
  assert.deepEqual(names, ["antirez-q2", "asym-2bit-experts"]);
  for (const name of names) {
    assert.equal((await loadRecipe(name)).name, name);
  }
});

test("a mixture's name is a recipe, in any case, with llama-quantize's aliases", async () => {
  assert.deepEqual(await loadRecipe("iq3_s"), { name: "IQ3_S", base: "IQ3_S", pure: false, rules: [] });
  assert.equal((await loadRecipe("Q4_K")).base, "Q4_K_M");
  assert.equal((await loadRecipe("copy")).base, "COPY");
});

test("a recipe file is read from its path", async (t) => {
  const path = join(await temporaryFolder(t), "own.yml");
  await writeFile(path, "name: own\nbase: Q8_0\n");
  assert.equal((await loadRecipe(path)).name, "own");
  await assert.rejects(loadRecipe(`${path}.yaml`), (error) => {
    assert.ok(error instanceof EnvironmentError);
    assert.equal(error.message, `${path}.yaml: no such file; check the path.`);
    return true;
  });
});

test("an unknown name suggests the nearest", async () => {
  await assert.rejects(loadRecipe("asym-2bit-expert"), (error) => {
    assert.ok(error instanceof UsageError);
    assert.equal(
      error.message,
      '"asym-2bit-expert" is not a recipe; did you mean "asym-2bit-experts"? A recipe file is given with its ending, like ./my.yaml.',
    );
    return true;
  });
  assert.throws(() => parseBaseOption("Q4_KM"), /`base`: "Q4_KM" .* did you mean "Q4_K_M"/);
  assert.equal(parseBaseOption("bf16"), "BF16");
});

test("every word offered as base is one, and every mixture's type leads back to one of its mixtures", () => {
  for (const name of baseNames) {
    assert.notEqual(parseBase(name), undefined, name);
  }
  for (const ftype of ftypes) {
    assert.notEqual(fileTypeNumberOf(ftypeBaseType(ftype)), undefined, ftype);
  }
  assert.equal(ftypeNumber("IQ3_S"), 26);
  assert.equal(fileTypeNumberOf("IQ2_S"), ftypeNumber("IQ2_S"));
  assert.equal(fileTypeNumberOf("Q4_K"), ftypeNumber("Q4_K_M"));
  assert.equal(fileTypeNumberOf("NVFP4"), 39);
  assert.equal(fileTypeNumberOf("I32"), undefined);
});
