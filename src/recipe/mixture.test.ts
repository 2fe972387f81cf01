import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { UsageError } from "../errors.js";
import { traitsOf } from "../quants/types.js";
import { type LlamaQuantizeOptions, llamaQuantizeTypes } from "../testing/llama-quantize.js";
import { encoderGeometry, modelGeometries, writeGeometry } from "../testing/model-geometries.js";
import { uniform } from "../testing/random.js";
import { temporaryFolder } from "../testing/temporary.js";
import { type Ftype, ftypeNumber, ftypes } from "./ftypes.js";
import type { TypeOverrides } from "./overrides.js";
import { baseRecipe } from "./recipe.js";
import { chooseTypes, type PlanRequest } from "./type-plan.js";

/** One line per tensor, sorted; one line if there is no choice. */
function choice(types: () => Iterable<readonly [name: string, type: string]>): string[] {
  try {
    return Array.from(types(), ([name, type]) => `${name} ${type}`).sort();
  } catch (error) {
    const isRefused = error instanceof UsageError || /no tensor type fallback/.test(String(error));
    if (isRefused) {
      return ["no type fits"];
    }
    throw error;
  }
}

const llamaChoice = (path: string, options: LlamaQuantizeOptions) =>
  choice(() => llamaQuantizeTypes(path, options));

const ourChoice = (request: PlanRequest) =>
  choice(() => chooseTypes(request).tensors.map(({ name, to }) => [name, to] as const));

describe("llama.cpp's mixtures", () => {
  for (const geometry of modelGeometries) {
    test(`${geometry.title}: every mixture gives each tensor the type that llama.cpp chooses`, async (t) => {
      const path = await writeGeometry(join(await temporaryFolder(t), "model.gguf"), geometry);
      for (const ftype of ftypes) {
        for (const hasImatrix of [false, true]) {
          assert.deepEqual(
            ourChoice({
              ...geometry,
              recipe: baseRecipe(ftype),
              hasImportance: hasImatrix ? () => true : undefined,
            }),
            llamaChoice(path, { ftype: ftypeNumber(ftype), hasImatrix }),
            `${ftype} ${hasImatrix ? "with" : "without"} imatrix`,
          );
        }
      }
    });
  }
});

test("an encoder of images can be quantized without a language model's metadata", async (t) => {
  const path = await writeGeometry(join(await temporaryFolder(t), "model.gguf"), encoderGeometry);
  for (const ftype of ["Q8_0", "Q6_K", "Q4_0", "Q5_K_M"] as const) {
    assert.deepEqual(
      ourChoice({ ...encoderGeometry, recipe: baseRecipe(ftype) }),
      llamaChoice(path, { ftype: ftypeNumber(ftype) }),
      ftype,
    );
  }
});

const patterns = [
  "attn_v",
  "blk\\.[0-3]\\.ffn_down",
  "ffn_(up|gate)",
  "attn",
  "BLK",
  "_k\\.weight$",
  "output",
  ".",
];
const types = ["Q8_0", "Q6_K", "IQ2_S", "Q4_0", "BF16", "F32"] as const;

/** Random options of llama-quantize for a model whose embedding has rows of `columns` weights. */
function randomOptions(next: () => number, columns: number): TypeOverrides {
  const pick = <T>(items: readonly T[]) => items[Math.floor(next() * items.length)]!;
  const tensorTypes = Array.from({ length: Math.floor(next() * 4) }, () => ({
    pattern: pick(patterns),
    type: pick(types),
  }));
  const leaveOutputTensor = next() < 0.2;
  // Where rows do not fill blocks llama.cpp gives up on these two options; we fall back.
  const fitting = types.filter((type) => columns % traitsOf(type).blockSize === 0);
  return {
    tensorTypes,
    pure: next() < 0.2,
    leaveOutputTensor,
    keepSplit: next() < 0.3,
    ...(next() < 0.3 && { tokenEmbeddingType: pick(fitting) }),
    ...(next() < 0.3 && !leaveOutputTensor && { outputTensorType: pick(fitting) }),
  };
}

describe("llama-quantize's options", () => {
  for (const geometry of modelGeometries) {
    test(`${geometry.title}: random options give each tensor the type that llama.cpp chooses`, async (t) => {
      const path = await writeGeometry(join(await temporaryFolder(t), "model.gguf"), geometry);
      const next = uniform(modelGeometries.indexOf(geometry));
      // Patterns that match nothing are an error of ours only, and so are those that a base ignores.
      const names = geometry.tensors.map(({ name }) => name);
      const columns = geometry.tensors.find(({ name }) => name === "token_embd.weight")!.shape[0]!;
      for (let round = 0; round < 20; round++) {
        const ftype = ftypes[Math.floor(next() * ftypes.length)] as Ftype;
        const overrides = randomOptions(next, columns);
        const tensorTypes = overrides.tensorTypes!.filter(({ pattern }) =>
          names.some((name) => new RegExp(pattern, "i").test(name)),
        );
        if (["F32", "F16", "BF16"].includes(ftype)) {
          tensorTypes.length = 0;
        }
        const hasImatrix = next() < 0.5;
        assert.deepEqual(
          ourChoice({
            ...geometry,
            recipe: baseRecipe(ftype),
            overrides: { ...overrides, tensorTypes },
            hasImportance: hasImatrix ? () => true : undefined,
          }),
          llamaChoice(path, {
            ...overrides,
            // llama-quantize turns patterns to small letters before it hands them to the library.
            tensorTypes: tensorTypes.map(({ pattern, type }) => ({ pattern: pattern.toLowerCase(), type })),
            ftype: ftypeNumber(ftype),
            hasImatrix,
          }),
          JSON.stringify({ ftype, hasImatrix, overrides }),
        );
      }
    });
  }

  test("COPY keeps every type", async (t) => {
    const geometry = modelGeometries[0]!;
    const path = await writeGeometry(join(await temporaryFolder(t), "model.gguf"), geometry);
    assert.deepEqual(
      ourChoice({ ...geometry, recipe: baseRecipe("COPY") }),
      llamaChoice(path, { ftype: 0, copy: true }),
    );
  });
});
