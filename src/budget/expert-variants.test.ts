import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Engine } from "../engine/engine.js";
import { imatrix as collect } from "../imatrix/compute.js";
import { Architecture } from "../model/architecture.js";
import { openModel } from "../model/open.js";
import { rowCount } from "../model/source.js";
import { prune } from "../quantize/prune.js";
import { quantize } from "../quantize/quantize.js";
import { verify } from "../quantize/verify.js";
import { writeTinyModel } from "../testing/architectures/write.js";
import { fixture } from "../testing/command.js";
import { expertVariants, pruningCost } from "./expert-variants.js";
import { plan } from "./plan.js";
import { defaultSensitivity } from "./sensitivity/defaults.js";

const model = fixture("tiny-moe-q8_0.gguf");
// Types that are encoded in no time, but for the one that padding is for.
const allow = ["routed", "attention", "embedding", "output"].map((role) => `${role}=Q4_0,Q8_0`);
const threads = 1;

describe("fewer or wider experts", () => {
  const engine = new Engine();
  let folder: string;
  let imatrix: string;
  const file = (name: string) => join(folder, name);

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "lopsided-variants-"));
    imatrix = file("imatrix.gguf");
    const text = fixture("text/calibration.txt");
    await collect({ model, text, output: imatrix, chunks: 4, expertOutputs: true, threads, engine });
  });
  after(async () => {
    await engine.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("are weighed against fewer bits, and what is chosen is what quantize writes, to the byte", async () => {
    const recipe = file("pruned.yaml");
    const options = { model, imatrix, output: recipe, allow, errors: file("errors.jsonl"), threads, engine };
    // Less than all 16 experts take at these types.
    const planned = await plan({ ...options, size: 7_000_000, prune: "12,10" });
    assert.deepEqual(
      planned.weighed?.map(({ experts }) => experts),
      [12, 10],
    );
    const { count, divergence } = planned.experts!;
    assert.deepEqual([count?.before, count?.after], [16, 12]);
    const types = planned.tensors.reduce((sum, { alpha, error }) => sum + alpha * error, 0);
    assert.ok(Math.abs(planned.predicted - types - divergence) < 1e-9);
    assert.match(await readFile(recipe, "utf8"), /^keepExperts: 12$/m);

    const output = file("planned.gguf");
    const written = await quantize({ model, output, recipe, imatrix, allowRequantize: true, threads });
    assert.equal(written.bytes, planned.bytes);
    assert.deepEqual(written.experts?.count, count);
    await verify({ model: output, source: model, threads });

    // With room for all, all stay.
    const roomy = await plan({ ...options, output: file("all.yaml"), size: 9_000_000, prune: "auto" });
    assert.equal(roomy.experts, undefined);
    assert.deepEqual(
      roomy.weighed?.map(({ experts }) => experts),
      [16, 14, 12, 10, 8],
    );
    assert.ok(roomy.weighed!.every(({ predicted }) => predicted >= roomy.predicted));
    // And what is left for a divergence is what dropping them does not take.
    const target = await plan({ ...options, output: file("target.yaml"), targetKld: 1, prune: "14" });
    assert.ok(target.predicted <= 1);
  });

  it("give the bytes of a model that was pruned first", async () => {
    const [pruned, prunedImatrix] = [file("first.gguf"), file("first-imatrix.gguf")];
    await prune({ model, output: pruned, experts: 12, imatrix, imatrixOutput: prunedImatrix, threads });
    const common = { recipe: file("pruned.yaml"), allowRequantize: true, threads };
    const [once, twice] = [file("planned.gguf"), file("twice.gguf")];
    const recipe = (await readFile(common.recipe, "utf8")).replace("keepExperts: 12\n", "");
    await writeFile(file("types.yaml"), recipe);
    await quantize({
      ...common,
      model: pruned,
      output: twice,
      recipe: file("types.yaml"),
      imatrix: prunedImatrix,
    });
    const [a, b] = [await openModel(once), await openModel(twice)];
    for (const [i, { name, type, shape, readRows }] of a.tensors.entries()) {
      const other = b.tensors[i]!;
      assert.deepEqual([name, type, shape], [other.name, other.type, other.shape]);
      const rows = rowCount(shape);
      assert.equal(Buffer.compare(await readRows(0, rows), await other.readRows(0, rows)), 0, name);
    }
    await a.close();
    await b.close();
  });

  it("need an importance matrix that says what experts add, except for sizes", async () => {
    const recipe = file("pruned.yaml");
    const reference = fixture("reference/imatrix.gguf");
    const common = { model, recipe, output: file("x.gguf"), allowRequantize: true };
    await assert.rejects(quantize({ ...common, imatrix: reference }), /--expert-outputs/);
    await assert.rejects(quantize(common), /importance matrix must say which/);
    const warnings: string[] = [];
    const sized = await quantize({ ...common, dryRun: true, onWarning: (text) => warnings.push(text) });
    assert.ok(sized.bytes > 0);
    assert.match(warnings.join(), /would be refused: each layer is to keep 12 experts/);
    for (const [text, problem] of [
      ["12,x", /expected numbers of experts/],
      ["16", /keep fewer/],
    ] as const) {
      const options = { model, imatrix, output: file("y.yaml"), bpw: 4, prune: text, engine };
      await assert.rejects(plan(options), problem);
    }
  });

  it("cost in proportion to what is lost and to what errors in the layer cost", () => {
    const names = ["blk.0.ffn_down_exps.weight", "blk.1.ffn_down_exps.weight"];
    const sensitivity = { name: "test", alphas: new Map(names.map((name, i) => [name, 1 + i])) };
    const choice = (layer: number, lost: number | undefined) => ({ layer, kept: [0], dropped: [1], lost });
    const cost = pruningCost([choice(0, 0.1), choice(1, undefined)], sensitivity);
    assert.ok(cost > 0);
    const both = pruningCost([choice(0, 0.1), choice(1, 0.1)], sensitivity);
    assert.ok(Math.abs(both / cost - 3) < 1e-9);
    assert.equal(pruningCost([], sensitivity), 0);
  });

  it("of an odd width are padded where that loses less in the same bytes", async () => {
    const odd = file("odd.gguf");
    await writeTinyModel(engine, "gemma4-odd", odd);
    const [statistics, recipe, output] = [
      file("odd-imatrix.gguf"),
      file("odd.yaml"),
      file("odd-planned.gguf"),
    ];
    const text = fixture("text/calibration.txt");
    await collect({ model: odd, text, output: statistics, ctx: 128, chunks: 2, threads, engine });
    const common = { model: odd, imatrix: statistics, threads };
    const planned = await plan({
      ...common,
      output: recipe,
      allow: ["routed.down=IQ3_S,IQ4_NL", "routed.gate_up=IQ2_S,Q4_0"],
      // With each tensor for itself the solver takes long.
      tie: ["attention", "dense"],
      bpw: 4,
      padExperts: true,
      errors: file("errors.jsonl"),
      engine,
    });
    const [plain, padded] = planned.weighed!;
    assert.deepEqual([plain?.padded, padded?.padded], [false, true]);
    assert.equal(planned.predicted, Math.min(plain!.predicted, padded!.predicted));
    const written = await quantize({ ...common, output, recipe });
    assert.equal(written.bytes, planned.bytes);
    const width = padded!.predicted < plain!.predicted ? { before: 352, after: 512 } : undefined;
    assert.deepEqual(written.experts?.width, width);
    await verify({ model: output, source: odd, threads });
  });

  it("are as many as the user names, from many to few, with each padding", async () => {
    const source = await openModel(model);
    const sensitivity = defaultSensitivity(source.tensors.map(({ name }) => name));
    const variants = await expertVariants(source, undefined, sensitivity, { prune: "8,12,8", imatrix });
    assert.deepEqual(
      variants.map(({ source: { metadata }, kept }) => [
        new Architecture(metadata).experts,
        kept?.get(0)?.length,
      ]),
      [
        [16, undefined],
        [12, 12],
        [8, 8],
      ],
    );
    assert.ok(variants[0]!.cost === 0 && variants[1]!.cost < variants[2]!.cost);
    await source.close();
  });
});
