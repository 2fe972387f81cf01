import assert from "node:assert/strict";
import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Engine } from "../engine/engine.js";
import { UsageError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import { fit } from "../memory/fit.js";
import { roleOf } from "../model/roles.js";
import { writeMomentsFile } from "../moments/file.js";
import { quantize } from "../quantize/quantize.js";
import { bitsPerWeight, isFastOn } from "../quants/types.js";
import { fixture } from "../testing/command.js";
import { randomMoments } from "../testing/moments.js";
import { referenceMetadata, referenceTensors } from "../testing/reference-geometry.js";
import { type PlanResult, plan } from "./plan.js";
import type { PlanOptions } from "./plan-command.js";

const folder = await mkdtemp(join(tmpdir(), "lopsided-plan-"));
const engine = new Engine();
after(async () => {
  await engine.close();
  await rm(folder, { recursive: true, force: true });
});

const common = {
  model: fixture("tiny-moe-q8_0.gguf"),
  imatrix: fixture("reference/imatrix.gguf"),
  output: join(folder, "planned.yaml"),
  // Shared by the tests, so that errors are measured once.
  errors: join(folder, "errors.jsonl"),
  threads: 2,
  engine,
} satisfies PlanOptions;

// Types that are encoded in no time.
const allow = ["routed", "attention", "embedding", "output"].map((role) => `${role}=Q4_0,Q5_0,Q8_0`);
const byBits = { ...common, allow, bpw: 5.5, output: join(folder, "by-bits.yaml") };
let plannedByBits: Promise<PlanResult> | undefined;

/** What several tests look at. */
function planByBits(): Promise<PlanResult> {
  plannedByBits ??= plan(byBits);
  return plannedByBits;
}

describe("plan", () => {
  it("predicts the size that quantize writes, to the byte, within the budget", async () => {
    const curvesPath = join(folder, "curves.json");
    const planned = await plan({ ...common, size: 5_300_000, curves: curvesPath });
    assert.ok(planned.bytes <= 5_300_000 && planned.bytes > 5_250_000, `${planned.bytes}`);
    assert.equal(planned.gap, 0);
    const output = join(folder, "planned.gguf");
    const written = await quantize({
      model: common.model,
      imatrix: common.imatrix,
      output,
      recipe: planned.recipe,
      allowRequantize: true,
    });
    assert.equal(written.bytes, planned.bytes);
    assert.equal((await stat(output)).size, planned.bytes);
    assert.equal(written.bpw, planned.bpw);
    const curves = JSON.parse(await readFile(curvesPath, "utf8")) as {
      tensors: { name: string; errors: Record<string, number> }[];
    };
    const errors = new Map(curves.tensors.map((tensor) => [tensor.name, tensor.errors]));
    for (const [i, { name, type, bytes, error }] of planned.tensors.entries()) {
      assert.equal(errors.get(name)?.[type] ?? 0, error);
      const tensor = written.tensors[i]!;
      assert.deepEqual([name, type, bytes], [tensor.name, tensor.to, tensor.bytes]);
      // The sample's error is the whole tensor's, but for what its experts' shares of the tokens weigh.
      if (error > 0) {
        assert.ok(Math.abs(error / tensor.relativeError! - 1) < 0.25, `${name}: ${error}`);
      }
    }
  });

  const memory = { memory: "20MB", margin: 1e6, ctx: 512 };
  for (const [budget, planWithin] of [
    ["bits per weight", planByBits],
    ["memory", () => plan({ ...common, ...memory, allow })],
  ] as const) {
    it(`predicts the size for a budget of ${budget} as well`, async () => {
      const planned = await planWithin();
      assert.ok(
        planned.budget.used <= planned.budget.bytes && planned.budget.used > 0.97 * planned.budget.bytes,
      );
      const output = join(folder, "budget.gguf");
      const { model, imatrix } = common;
      await quantize({ model, imatrix, output, recipe: planned.recipe, allowRequantize: true });
      assert.equal((await stat(output)).size, planned.bytes);
      await rm(output);
    });
  }

  it("finds the smallest model that keeps to a predicted divergence", async () => {
    const bySize = await planByBits();
    // The other way round: what so many bytes lose takes no more bytes. The target is kept with a millionth to spare.
    const targetKld = bySize.predicted * (1 + 1e-6);
    const planned = await plan({ ...common, targetKld, allow });
    assert.ok(planned.predicted <= targetKld, `${planned.predicted} of ${targetKld}`);
    assert.ok(planned.tensorBytes <= bySize.tensorBytes, `${planned.tensorBytes} of ${bySize.tensorBytes}`);
    assert.equal(planned.budget.used, planned.budget.bytes);
    assert.equal(planned.gap, 0);
    await assert.rejects(
      plan({ ...common, targetKld: 1e-9, atMost: ["routed=Q4_0"] }),
      /`targetKld` 1e-9: the largest types that these limits allow are predicted to cost/,
    );
  });

  it("uses what an earlier run measured, also if that run was cut off in the middle of a line", async () => {
    const errors = join(folder, "cut.jsonl");
    // Tied, so that the solver is done at once.
    const tie = ["routed", "attention"];
    const first = await plan({ ...byBits, tie, errors });
    const whole = await readFile(errors, "utf8");
    await writeFile(errors, whole.slice(0, whole.length / 2));
    const again = await plan({ ...byBits, tie, errors });
    assert.deepEqual(again.tensors, first.tensors);
    const lines = (text: string) => new Set(text.split("\n").filter((line) => line.endsWith("]")));
    assert.deepEqual(lines(await readFile(errors, "utf8")), lines(whole));
  });

  it("obeys limits, ties and the backend", async () => {
    const planned = await plan({
      ...common,
      bpw: 4,
      atLeast: ["attention=Q5_K"],
      allow: ["routed.down=Q2_K,Q4_K"],
      atMost: ["embedding=Q4_K"],
      tie: ["routed.down", "routed.up"],
      backend: "cpu",
    });
    const typesOf = (role: string) =>
      planned.tensors.filter(({ name }) => roleOf(name).startsWith(role)).map(({ type }) => type);
    for (const type of typesOf("attention")) {
      assert.ok(bitsPerWeight(type) >= bitsPerWeight("Q5_K"));
    }
    for (const type of typesOf("routed.down")) {
      assert.ok(type === "Q2_K" || type === "Q4_K");
    }
    assert.equal(new Set(typesOf("routed.down")).size, 1);
    assert.equal(new Set(typesOf("routed.up")).size, 1);
    assert.ok(bitsPerWeight(typesOf("embedding")[0]!) <= bitsPerWeight("Q4_K"));
    for (const { type } of planned.tensors) {
      assert.ok(isFastOn("cpu", type), type);
    }
    assert.ok(planned.bpw <= 4);
  });

  it("measures what output-aware encoding does with moments", async () => {
    const moments = join(folder, "moments.gguf");
    const sums = randomMoments(256, 300, 0.7);
    const contents = [0, 1, 2, 3].map((layer) => ({
      name: `blk.${layer}.ffn_down_exps`,
      columns: 256,
      counts: new Float64Array(16).fill(300),
      matrix: () => sums,
    }));
    await writeMomentsFile(moments, { datasets: ["made up"], chunkCount: 1, chunkSize: 512 }, contents);
    const types = [
      "routed.down=IQ2_S,IQ3_S",
      ...["routed.gate", "routed.up"].map((role) => `${role}=IQ2_S`),
      ...["attention", "embedding", "output"].map((role) => `${role}=Q4_K`),
    ];
    const request = { ...common, bpw: 3.2, allow: types };
    const without = await plan({ ...request, effort: "fine" });
    const planned = await plan({ ...request, effort: "max", moments });
    const errorsOf = ({ tensors }: PlanResult) =>
      tensors.filter(({ name }) => name.includes("ffn_down_exps")).map(({ error }) => error);
    // These inputs are not those that the imatrix is of, so that single tensors may seem worse.
    const sum = (errors: readonly number[]) => errors.reduce((total, error) => total + error, 0);
    const [after, before] = [sum(errorsOf(planned)), sum(errorsOf(without))];
    assert.ok(after < 0.95 * before && after > 0.1 * before, `${after} of ${before}`);
    assert.match(await readFile(planned.recipe, "utf8"), /and moments /);
    const { imatrix, model, recipe } = { ...common, recipe: planned.recipe };
    const written = { model, imatrix, recipe, moments, output: join(folder, "max.gguf"), dryRun: true };
    assert.equal(planned.bytes, (await quantize({ ...written, effort: "max", allowRequantize: true })).bytes);
    await assert.rejects(plan({ ...request, effort: "max" }), /needs to know the inputs/);
  });

  it("says what the smallest possible model is when the budget is below it", async () => {
    let smallest = 0;
    await assert.rejects(plan({ ...common, size: 2_000_000 }), (error: UsageError) => {
      assert.ok(error instanceof UsageError);
      smallest = Number(error.details.smallest);
      assert.match(error.message, new RegExp(`the smallest that these limits allow takes ${smallest} bytes`));
      return true;
    });
    const planned = await plan({ ...common, size: smallest });
    assert.equal(planned.bytes, smallest);
    await assert.rejects(plan({ ...common, size: smallest - 1 }), UsageError);
  });

  it("refuses the imatrix and the sensitivity of another model, and other files", async () => {
    const other = join(folder, "other.json");
    const refusal = (fields: object, message: RegExp) =>
      assert.rejects(
        writeFile(other, JSON.stringify(fields)).then(() => plan({ ...common, bpw: 3, sensitivity: other })),
        message,
      );
    const format = "lopsided-sensitivity-1";
    await refusal({ format, fingerprint: "x", tensors: [] }, /is the sensitivity of another model/);
    await refusal({ format, tensors: [{ name: "a", alpha: -1 }] }, /has a tensor without name or alpha/);
    await refusal({ tensors: [] }, /is not a sensitivity file/);
    const header = await referenceHeader();
    await assert.rejects(plan({ ...common, model: header, bpw: 3 }), /imatrix of another model/);
  });

  it("plans for a machine from a header alone, with typical errors", async () => {
    const { imatrix: _, ...rest } = common;
    const model = await referenceHeader();
    const planned = await plan({ ...rest, model, memory: "16GB", ctx: 16384 });
    assert.equal(planned.errors, "typical");
    assert.equal(planned.sensitivity, "defaults");
    const kvBytes = 98304 * 16384;
    assert.ok(planned.tensorBytes <= 16e9 - 2 ** 30 - kvBytes);
    assert.ok(planned.tensorBytes > 13e9);
    assert.ok(planned.gap < 1e-3);
    const card = await plan({ ...rest, model, memory: "16GB GPU", ctx: 16384 });
    const needs = await fit({ model, recipe: card.recipe, memory: "16GB GPU", ctx: 16384, engine });
    assert.ok(needs.fits && needs.availableBytes - needs.neededBytes < 1e6, `${needs.neededBytes}`);
    await assert.rejects(
      plan({ ...rest, model, memory: "16GB Mac", ctx: 16384 }),
      /leaves \d+ bytes for the model, but the smallest that these limits allow takes \d+ bytes .*give an `imatrix`/,
    );
    await assert.rejects(
      plan({ ...rest, model, memory: "8GB Mac", ctx: 65536 }),
      /do not even hold the context of 65536 tokens/,
    );
  });

  it("wants exactly one budget", async () => {
    await assert.rejects(plan(common), /needs one budget/);
    await assert.rejects(plan({ ...common, bpw: 3, size: 1e9 }), /needs one budget/);
  });
});

/** The reference case as a header without weights. */
async function referenceHeader(): Promise<string> {
  const layout = planGguf({ metadata: referenceMetadata(), tensors: referenceTensors() });
  const path = join(folder, "reference.gguf");
  const file = await open(path, "w");
  await file.write(layout.header, 0, layout.header.byteLength, 0);
  await file.truncate(layout.byteLength);
  await file.close();
  return path;
}
