import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { allocate } from "../budget/allocate.js";
import { plan } from "../budget/plan.js";
import { openModel } from "../model/open.js";
import { quantize } from "../quantize/quantize.js";
import { fixture } from "../testing/command.js";
import { explorableGeometries } from "../testing/explorable-geometries.js";
import { writeGeometry } from "../testing/model-geometries.js";
import { temporaryFolder } from "../testing/temporary.js";
import { version } from "../version.js";
import { explorableModel, imatrixName } from "./explorable-model.js";
import { Explorer } from "./explorer.js";
import { packModel, unpackModel } from "./page-data.js";
import { references } from "./references.js";
import { defaultSettings, readSettings, type Settings, writeSettings } from "./settings.js";

async function explorerOf(path: string, settings: Settings): Promise<Explorer> {
  const source = await openModel(path);
  const model = explorableModel({ ...source, files: source.files.length }, version);
  await source.close();
  const { model: unpacked, knowledge } = await unpackModel(
    JSON.parse(JSON.stringify(packModel(model, {}))) as ReturnType<typeof packModel>,
  );
  return new Explorer(unpacked, settings, knowledge);
}

const withoutImatrix: Settings = { ...defaultSettings, context: 4096, hasImportance: false };

for (const geometry of explorableGeometries) {
  test(`sizes are those of quantize --dry-run: ${geometry.title}`, async (t) => {
    const folder = await temporaryFolder(t);
    const model = await writeGeometry(join(folder, "model.gguf"), geometry);
    const explorer = await explorerOf(model, { ...withoutImatrix, kind: "RAM" });
    const { least, most } = explorer.range();
    for (let position = 0; position < 10; position++) {
      const gigabytes = Number((least + (position * (most - least)) / 9).toFixed(1));
      const { bytes, recipe: text } = await explorer.approximate(gigabytes);
      const recipe = join(folder, `${position}.yaml`);
      await writeFile(recipe, text);
      const written = await quantize({
        model,
        output: join(folder, "out.gguf"),
        recipe,
        dryRun: true,
        allowRequantize: true,
      });
      assert.equal(bytes, written.bytes, `${gigabytes} GB`);
    }
  });
}

test("the solver's answer for a file of a given size is the recipe of plan", async (t) => {
  const folder = await temporaryFolder(t);
  const [, geometry] = explorableGeometries;
  assert.ok(geometry);
  const model = await writeGeometry(join(folder, "model.gguf"), geometry);
  const explorer = await explorerOf(model, { ...withoutImatrix, kind: "file" });
  const gigabytes = Number(((explorer.range().least + explorer.range().most) / 2).toFixed(4));
  const { recipe, bytes } = await explorer.exact(gigabytes, allocate);
  const output = join(folder, "plan.yaml");
  const planned = await plan({ model, output, size: `${gigabytes}GB`, threads: 0 });
  assert.equal(bytes, planned.bytes);
  assert.match(recipe, /^name: planned-/);
});

test("with an importance matrix its names and checksum are in the size", async (t) => {
  const folder = await temporaryFolder(t);
  const model = fixture("tiny-moe-q8_0.gguf");
  const explorer = await explorerOf(model, { ...defaultSettings, kind: "file", gigabytes: 0.01 });
  const { bytes, recipe: text } = await explorer.approximate(0.01);
  const recipe = join(folder, "recipe.yaml");
  await writeFile(recipe, text);
  assert.equal(imatrixName(explorer.model), "imatrix.gguf");
  const imatrix = fixture("reference/imatrix.gguf");
  const written = await quantize({
    model,
    output: join(folder, "out.gguf"),
    recipe,
    imatrix,
    dryRun: true,
    allowRequantize: true,
  });
  assert.equal(bytes, written.bytes);
});

test("mixtures and presets that the model can have are points of comparison", async (t) => {
  const folder = await temporaryFolder(t);
  const [geometry] = explorableGeometries;
  assert.ok(geometry);
  const model = await writeGeometry(join(folder, "model.gguf"), geometry);
  const explorer = await explorerOf(model, defaultSettings);
  const points = references(
    explorer,
    new Map([["none", "name: none\nbase: COPY\nrules:\n  - { match: nothing, type: Q4_K }\n"]]),
  );
  assert.deepEqual(points.map(({ name }) => name).slice(0, 2), ["IQ2_XXS", "IQ2_M"]);
  const { bytes } = await quantize({ model, output: join(folder, "out.gguf"), base: "Q6_K", dryRun: true });
  const sixBits = points.find(({ name }) => name === "Q6_K");
  // The point counts the names of an importance matrix.
  assert.ok(sixBits !== undefined && sixBits.bytes - bytes >= 0 && sixBits.bytes - bytes < 512);
});

test("an address has all settings, and refuses what cannot be meant", () => {
  const settings: Settings = {
    kind: "Mac",
    gigabytes: 23.5,
    context: 32_768,
    sequences: 3,
    keyType: "Q8_0",
    valueType: "Q4_0",
    backend: "metal",
    hasImportance: false,
    pins: ["routed.down=IQ3_S,Q4_K"],
  };
  assert.deepEqual(readSettings(new URLSearchParams(writeSettings(settings).toString())), settings);
  assert.deepEqual(readSettings(new URLSearchParams()), defaultSettings);
  for (const [address, message] of [
    ["memory=16GB+toaster", /not a machine/],
    ["memory=1e9GB+GPU", /not a machine/],
    ["size=999999GB", /not an amount/],
    ["ctx=-1", /ctx is -1/],
    ["allow=routed.dwn=Q4_K", /not a role/],
    ["backend=abacus", /not a backend/],
  ] as const) {
    assert.throws(() => readSettings(new URLSearchParams(address)), message);
  }
});
