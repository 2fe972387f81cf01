import assert from "node:assert/strict";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { cacheTypes } from "../engine/cache-types.js";
import { Engine } from "../engine/engine.js";
import { planGguf } from "../gguf/layout.js";
import { fixture, lopsided } from "../testing/command.js";
import { FileServer } from "../testing/file-server.js";
import { type ReferenceTensor, referenceMetadata, referenceTensors } from "../testing/reference-geometry.js";
import { runnableGeometries as geometries } from "../testing/runnable-geometries.js";
import { temporaryFolder } from "../testing/temporary.js";
import { fit } from "./fit.js";
import { cacheLayers, cacheSize } from "./kv-cache.js";
import { PlannedModel } from "./planned-memory.js";

const engine = new Engine();
after(() => engine.close());

/** The reference case with the types of its recipe, header only. */
function writeReferenceHeader(folder: string): Promise<string> {
  const tensors = referenceTensors().map((tensor) => {
    const { name, type } = tensor;
    if (type === "F32") {
      return tensor;
    }
    if (/_(gate|up)_exps/.test(name)) {
      return { ...tensor, type: "IQ2_S" as const };
    }
    if (/_down_exps/.test(name)) {
      return { ...tensor, type: "IQ3_S" as const };
    }
    return { ...tensor, type: /attn/.test(name) ? ("Q4_K" as const) : ("Q6_K" as const) };
  });
  return writeHeader(folder, "reference.gguf", tensors);
}

/** A file of the model's size without contents. */
async function writeHeader(
  folder: string,
  name: string,
  tensors: readonly ReferenceTensor[],
): Promise<string> {
  const layout = planGguf({ metadata: referenceMetadata(), tensors });
  const path = join(folder, name);
  const file = await open(path, "w");
  await file.write(layout.header, 0, layout.header.byteLength, 0);
  await file.truncate(layout.byteLength);
  await file.close();
  return path;
}

describe("the memory of a context", () => {
  for (const [name, geometry] of Object.entries(geometries)) {
    for (const options of [
      { contextLength: 300 },
      { contextLength: 8192 },
      { contextLength: 2048, sequences: 3 },
    ]) {
      it(`is what llama.cpp says for ${name}, ${JSON.stringify(options)}`, async (t) => {
        const planned = new PlannedModel(geometry, engine);
        t.after(() => planned.close());
        const { source, kvBytes } = await planned.need(options);
        assert.equal(planned.note, undefined);
        assert.equal(source, "llama.cpp");
        // Equal only if llama.cpp's figure agrees with the formula's within its rounding.
        assert.equal(kvBytes, cacheSize(cacheLayers(planned.architecture), options).bytes);
      });
    }
  }

  it("is what llama.cpp says for every cache type", async (t) => {
    const planned = new PlannedModel(geometries.qwen3, engine);
    t.after(() => planned.close());
    for (const type of cacheTypes) {
      const options = { contextLength: 4096, keyType: type, valueType: type };
      const { kvBytes } = await planned.need(options);
      assert.equal(kvBytes, cacheSize(cacheLayers(planned.architecture), options).bytes, type);
    }
    assert.equal(planned.note, undefined);
  });

  it("has compute buffers that the estimate meets within a quarter", async (t) => {
    const { qwen3, gemma2 } = geometries;
    for (const [name, geometry] of Object.entries({ qwen3, gemma2 })) {
      const asked = new PlannedModel(geometry, engine);
      t.after(() => asked.close());
      const computed = new PlannedModel(geometry, undefined);
      for (const contextLength of [2048, 16384]) {
        const [a, b] = [await asked.need({ contextLength }), await computed.need({ contextLength })];
        assert.equal(b.source, "formula");
        const ratio = b.computeBytes / a.computeBytes;
        assert.ok(ratio > 0.75 && ratio < 1.25, `${name} ${contextLength}: ${ratio}`);
      }
    }
  });
});

describe("lopsided fit", () => {
  it("gives the reference case's cache per token, and tells a card from a Mac", async (t) => {
    const folder = await temporaryFolder(t);
    const common = { model: await writeReferenceHeader(folder), ctx: 16384, engine };
    const card = await fit({ ...common, memory: "16GB GPU" });
    assert.equal(card.kvBytesPerToken, 98304);
    assert.equal(card.kvBytes, 98304 * 16384);
    assert.equal(card.weightsBytes, 11414441984);
    assert.equal(card.memory.bytes, 15842 * 2 ** 20);
    assert.ok(card.fits && card.maxContext > 16384, `${card.maxContext}`);
    const mac = await fit({ ...common, memory: "16GB Mac" });
    assert.equal(mac.memory.bytes, Math.floor((16 * 2 ** 30 * 2) / 3));
    assert.ok(!mac.fits && mac.maxContext === 0);
    const asRecipe = { ...common, model: await writeHeader(folder, "source.gguf", referenceTensors()) };
    const byRecipe = await fit({ ...asRecipe, memory: "16GB GPU", recipe: "asym-2bit-experts" });
    assert.deepEqual(
      [byRecipe.weightsBytes, byRecipe.totalBytes, byRecipe.maxContext, byRecipe.recipe],
      [card.weightsBytes, card.totalBytes, card.maxContext, "asym-2bit-experts"],
    );
    const quantized = await fit({ ...common, memory: "16GB GPU", cacheTypeK: "q8_0", cacheTypeV: "q8_0" });
    assert.equal(quantized.kvBytesPerToken, 52224);
    assert.match(quantized.command, /-c 16384 -np 1 -ngl 99 -ctk q8_0 -ctv q8_0 -fa on$/);
  });

  it("finds the longest context: it fits, and 256 tokens more do not", async (t) => {
    const model = await writeReferenceHeader(await temporaryFolder(t));
    const common = { model, memory: "16GB", parallel: 2, library: false };
    const { maxContext, context } = await fit(common);
    assert.equal(context, maxContext);
    assert.ok((await fit({ ...common, ctx: maxContext })).fits);
    assert.ok(!(await fit({ ...common, ctx: maxContext + 1 })).fits);
  });

  it("needs the header alone of a file on a server, and names it as llama-server wants it", async (t) => {
    const server = await FileServer.start(t);
    server.files.set("/tiny.gguf", await readFile(fixture("tiny-moe-q8_0.gguf")));
    const model = `${server.address}/tiny.gguf`;
    const common = { ctx: 512, library: false };
    const remote = await fit({ ...common, model });
    const local = await fit({ ...common, model: fixture("tiny-moe-q8_0.gguf") });
    assert.deepEqual({ ...remote, model: 0, command: 0 }, { ...local, model: 0, command: 0 });
    assert.ok(server.bytesSent < 2e6, `${server.bytesSent} bytes`);
    assert.equal(remote.command, `llama-server -mu ${model} -c 512 -np 1 -ngl 99`);
  });

  it("prints one JSON object with the sizes, and takes llama.cpp's short options", async () => {
    const outcome = await lopsided([
      "fit",
      fixture("tiny-moe-q8_0.gguf"),
      "--ctx",
      "1000",
      "-ctk",
      "q8_0",
      "--memory",
      "100MB",
      "--margin",
      "10MB",
      "--json",
    ]);
    assert.equal(outcome.status, 0, outcome.stderr);
    const result = JSON.parse(outcome.stdout);
    assert.equal(result.context, 1024);
    assert.equal(result.cacheTypeK, "Q8_0");
    assert.equal(result.weightsBytes, 15395840);
    assert.equal(result.totalBytes, result.weightsBytes + result.kvBytes + result.computeBytes);
    assert.equal(result.availableBytes, 90e6);
    assert.equal(result.fits, true);
  });

  it("has an answer for contexts that llama.cpp would need gigabytes to be asked about", async () => {
    const { context, source, notes } = await fit({
      model: fixture("tiny-moe-q8_0.gguf"),
      ctx: 2 ** 31 - 1,
      engine,
    });
    assert.equal(context, 2 ** 31);
    assert.equal(source, "formula");
    assert.equal(
      notes[0],
      "the compute buffers are an estimate; llama.cpp is asked about contexts of up to 8388608 tokens.",
    );
  });

  it("refuses amounts of memory, types and contexts that are none", async () => {
    const model = fixture("tiny-moe-q8_0.gguf");
    for (const [args, message] of [
      [["--memory", "16 parsecs"], /"16 parsecs" is not an amount of memory/],
      [["--memory", "0GB"], /not an amount|not possible/],
      [["-ctk", "q4_k"], /"q4_k" is not a type of KV cache/],
      [["--ctx", "0"], /whole number/],
      [["--ctx", "2147483648"], /must be at most 2147483647/],
    ] as const) {
      const outcome = await lopsided(["fit", model, ...args]);
      assert.equal(outcome.status, 2, outcome.stderr);
      assert.match(outcome.stderr, message);
    }
  });
});
