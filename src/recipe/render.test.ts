import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadRecipe, presetNames } from "./presets.js";
import { parseRecipe, type Recipe } from "./recipe.js";
import { renderRecipe } from "./render.js";

/** Where a rule stood in its file does not belong to what it says. */
function withoutPlaces(recipe: Recipe) {
  return { ...recipe, rules: recipe.rules.map((rule) => ({ ...rule, place: "" })) };
}

describe("a rendered recipe", () => {
  it("reads back as the same recipe", async () => {
    const own = parseRecipe(
      "name: own\nbase: Q4_K_M\npure: true\nrules:\n  - { match: 'attn_v', layers: [0-3, 7], type: Q6_K, optional: true }\n",
      "own.yaml",
    );
    for (const recipe of [own, ...(await Promise.all([...(await presetNames()), "IQ3_S"].map(loadRecipe)))]) {
      const again = parseRecipe(renderRecipe(recipe), "rendered.yaml");
      assert.deepEqual(withoutPlaces(again), withoutPlaces(recipe));
    }
  });
});
