import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isQuantizable } from "../recipe/quantizable.js";
import { parseRecipe } from "../recipe/recipe.js";
import { renderRecipe } from "../recipe/render.js";
import { chooseTypes } from "../recipe/type-plan.js";
import { uniform } from "../testing/random.js";
import { referenceMetadata, referenceTensors } from "../testing/reference-geometry.js";
import { recipeOf } from "./planned-recipe.js";

const tensors = referenceTensors();
const metadata = referenceMetadata();

/** The types that a recipe for some tensors gives all of them, by way of its text. */
function planned(some: Parameters<typeof recipeOf>[2], all: readonly { readonly name: string }[]) {
  const recipe = parseRecipe(renderRecipe(recipeOf("a", "b", some)), "planned.yaml");
  const shaped = all.map(({ name }) => ({ name, shape: [256, 8], type: "F16" as const }));
  return chooseTypes({ tensors: shaped, metadata, recipe }).tensors.map(({ name, to }) => ({
    name,
    type: to,
  }));
}

describe("a planned recipe", () => {
  it("gives every tensor its type, whatever the types are, also when it is read from its text", () => {
    const random = uniform(5);
    const types = ["Q4_K", "IQ2_S", "Q6_K", "Q8_0"] as const;
    const wanted = tensors
      .filter(({ name, shape }) => isQuantizable(name, shape))
      .map(({ name }) => ({ name, type: types[Math.floor(4 * random())]! }));
    const recipe = parseRecipe(renderRecipe(recipeOf("random", "any", wanted)), "planned.yaml");
    const planned = chooseTypes({ tensors, metadata, recipe, hasImportance: () => true });
    const got = new Map(planned.tensors.map(({ name, to }) => [name, to]));
    for (const { name, type } of wanted) {
      assert.equal(got.get(name), type, name);
    }
    assert.deepEqual(planned.warnings, []);
  });

  it("names roles together that have the same types, and layers only where they differ", () => {
    const wanted = tensors
      .filter(({ name, shape }) => isQuantizable(name, shape))
      .map(({ name }) => ({
        name,
        type: /blk\.[01]\.ffn_(gate|up)_exps/.test(name) ? ("IQ3_S" as const) : ("IQ2_S" as const),
      }));
    const { rules } = recipeOf("plain", "plain", wanted);
    assert.deepEqual(
      rules.map(({ tensors, layers, type }) => ({ tensors, layers, type })),
      [
        { tensors: ["routed.gate", "routed.up"], layers: [[0, 1]], type: "IQ3_S" },
        { tensors: ["routed.gate", "routed.up"], layers: [[2, 47]], type: "IQ2_S" },
        {
          tensors: [
            "routed.down",
            "attention.q",
            "attention.k",
            "attention.v",
            "attention.output",
            "embedding",
            "output",
          ],
          layers: undefined,
          type: "IQ2_S",
        },
      ],
    );
  });

  it("tells tensors of one role and layer apart by name", () => {
    const wanted = [
      { name: "blk.0.attn_output_a.weight", type: "Q4_K" as const },
      { name: "blk.0.attn_output_b.weight", type: "Q6_K" as const },
      { name: "blk.1.attn_output_a.weight", type: "Q4_K" as const },
      { name: "blk.1.attn_output_b.weight", type: "Q4_K" as const },
    ];
    assert.deepEqual(planned(wanted, wanted), wanted);
  });

  it("tells tensors of one role inside and outside the layers apart, whatever types others have", () => {
    const wanted = [
      { name: "blk.0.ffn_down.weight", type: "Q4_K" as const },
      { name: "output_hc_fn.weight", type: "Q8_0" as const },
      { name: "blk.0.hc_attn_fn.weight", type: "Q4_K" as const },
      { name: "blk.1.hc_attn_fn.weight", type: "Q4_K" as const },
      { name: "per_layer_model_proj.weight", type: "Q6_K" as const },
      { name: "blk.0.proj.weight", type: "Q5_K" as const },
      { name: "blk.0.inp_gate.weight", type: "Q8_0" as const },
      { name: "blk.0.indexer.proj.weight", type: "Q3_K" as const },
    ];
    const open = wanted.filter(({ name }) => isQuantizable(name, [256, 8]));
    const got = new Map(planned(open, wanted).map(({ name, type }) => [name, type]));
    for (const { name, type } of open) {
      assert.equal(got.get(name), type, name);
    }
  });

  it("tells a table of embeddings from the embedding that its role is a part of", () => {
    const wanted = [
      { name: "token_embd.weight", type: "Q6_K" as const },
      { name: "per_layer_token_embd.weight", type: "IQ4_NL" as const },
      { name: "blk.0.ffn_down_exps.weight", type: "Q6_K" as const },
    ];
    assert.deepEqual(planned(wanted, wanted), wanted);
  });
});
