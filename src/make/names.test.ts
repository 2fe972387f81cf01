import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseGGUFQuantLabel } from "@huggingface/gguf";
import { types } from "../quants/types.js";
import { ftypes } from "../recipe/ftypes.js";
import { loadRecipe } from "../recipe/presets.js";
import { baseRecipe } from "../recipe/recipe.js";
import { baseNameOf, variantName } from "./names.js";

describe("the name of a variant", () => {
  it("is the recipe's name and a label that Hugging Face finds, in a set of files too", async () => {
    const recipe = await loadRecipe("asym-2bit-experts");
    for (const { name: type, quantized, canEncode } of types.values()) {
      if (!quantized || !canEncode) {
        continue;
      }
      const variant = variantName(recipe, type);
      assert.ok(variant.startsWith(`asym-${type}`), variant);
      for (const end of ["", "-00001-of-00003"]) {
        const label = parseGGUFQuantLabel(`Qwen3-Coder-30B-A3B-Instruct-${variant}${end}.gguf`);
        assert.equal(`asym-${label}`, variant);
      }
    }
    assert.equal(variantName(recipe, "IQ2_S"), "asym-IQ2_S");
    assert.equal(variantName(await loadRecipe("antirez-q2"), "IQ2_XXS"), "antirez-IQ2_XXS");
    assert.equal(variantName({ ...recipe, name: "planned-2.99bpw" }, "Q4_K"), "planned-Q4_K_S");
    assert.equal(variantName({ ...recipe, name: "my recipe/v" }, "Q6_K"), "my_recipe_v-Q6_K");
    assert.equal(variantName({ ...recipe, name: "2bit" }, "Q2_K"), "lopsided-Q2_K");
  });

  it("is llama.cpp's own for its mixtures", () => {
    for (const name of ftypes) {
      const variant = variantName(baseRecipe(name), "Q8_0");
      assert.equal(variant, name);
    }
    assert.equal(variantName(baseRecipe("Q4_K_M"), "Q4_K"), "Q4_K_M");
    assert.equal(variantName(baseRecipe("COPY"), "Q8_0"), "Q8_0");
  });
});

describe("the name of a model", () => {
  it("is the file's or the repository's without label, place and part", () => {
    for (const [model, name] of [
      ["fixtures/tiny-moe-q8_0.gguf", "tiny-moe"],
      ["fixtures/tiny-moe/", "tiny-moe"],
      ["/models/Qwen3-Coder-30B-A3B-Instruct-UD-Q8_K_XL.gguf", "Qwen3-Coder-30B-A3B-Instruct"],
      ["hf://unsloth/X-GGUF/BF16/Qwen3-30B-A3B-BF16-00001-of-00002.gguf", "Qwen3-30B-A3B"],
      ["hf://Qwen/Qwen3-30B-A3B@main", "Qwen3-30B-A3B"],
      ["hf://Qwen/Qwen3.5-30B", "Qwen3.5-30B"],
      ["https://example.org/a%20b.Q4_K_M.gguf?token=x", "a_20b"],
      ["model.gguf", "model"],
    ] as const) {
      assert.equal(baseNameOf(model), name, model);
    }
  });
});
