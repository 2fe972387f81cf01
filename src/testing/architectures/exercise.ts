/** Puts one model through the commands, with the defaults that users get, and says what came of it. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { plan } from "../../budget/plan.js";
import type { Engine } from "../../engine/engine.js";
import { perplexity } from "../../evaluate/measure.js";
import { imatrix } from "../../imatrix/compute.js";
import { fit } from "../../memory/fit.js";
import { inspect } from "../../model/inspect.js";
import { quantize } from "../../quantize/quantize.js";
import { verify } from "../../quantize/verify.js";

const text = fileURLToPath(new URL("../../../fixtures/text/calibration.txt", import.meta.url));
const threads = 1;
const run = { text, ctx: 128, chunks: 2, threads };

/** Bits per weight that `plan` is asked for. */
const plannedBits = 5;

/** A model as a recipe makes it. */
export interface Quantized {
  readonly bpw: number;
  /** Mean Kullback-Leibler divergence from the source, in nats. */
  readonly divergence: number;
}

export interface Exercised {
  readonly tensors: number;
  /** Names of tensors that have no role. */
  readonly other: readonly string[];
  /** Cache for 1024 tokens: llama.cpp's, and by our formula. */
  readonly cache: { readonly source: string; readonly bytes: number; readonly formulaBytes: number };
  readonly ppl: number;
  readonly asym: Quantized;
  readonly mixture: Quantized;
  readonly planned: Quantized;
  readonly warnings: readonly string[];
}

/** Throws what a command throws, with the command's name before its sentence. */
export async function exercise(model: string, folder: string, engine: Engine): Promise<Exercised> {
  const warnings: string[] = [];
  const imatrixFile = join(folder, "imatrix.gguf");
  const recipe = join(folder, "planned.yaml");
  const common = { engine, onWarning: (warning: string) => warnings.push(warning) };
  const encode = { imatrix: imatrixFile, threads, onWarning: common.onWarning };

  const { tensors } = await step("inspect", () => inspect({ model }));
  const memory = await step("fit", () => fit({ model, ctx: 1024, engine }));
  const formula = await step("fit by formula", () => fit({ model, ctx: 1024, library: false }));
  await step("imatrix", () => imatrix({ model, output: imatrixFile, ...common, ...run }));
  const { ppl } = await step("perplexity", () => perplexity({ model, ...common, ...run }));

  const quantizedBy = async (name: string): Promise<Quantized> => {
    const output = join(folder, `${name === recipe ? "planned" : name}.gguf`);
    const { bpw } = await step(`quantize ${name}`, () =>
      quantize({ model, output, recipe: name, ...encode }),
    );
    await step(`verify ${name}`, () => verify({ model: output, source: model, threads }));
    const { kld } = await step(`perplexity ${name}`, () =>
      perplexity({ model: output, reference: model, ...common, ...run }),
    );
    return { bpw, divergence: kld?.mean ?? Number.NaN };
  };
  const asym = await quantizedBy("asym-2bit-experts");
  const mixture = await quantizedBy("Q4_K_M");
  await step("plan", () => plan({ model, output: recipe, bpw: plannedBits, ...encode }));
  const planned = await quantizedBy(recipe);
  return {
    tensors: tensors.length,
    other: tensors.filter(({ role }) => role === "other").map(({ name }) => name),
    cache: { source: memory.source, bytes: memory.kvBytes, formulaBytes: formula.kvBytes },
    ppl,
    asym,
    mixture,
    planned,
    warnings,
  };
}

async function step<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}
