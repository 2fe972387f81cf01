/** Recipes that people know, as points beside the curve: llama.cpp's mixtures and Lopsided's presets. */
import { LopsidedError } from "../errors.js";
import type { TypeName } from "../quants/types.js";
import type { Ftype } from "../recipe/ftypes.js";
import { baseRecipe, parseRecipe, type Recipe } from "../recipe/recipe.js";
import { renderRecipe } from "../recipe/render.js";
import { chooseTypes } from "../recipe/type-plan.js";
import { expectedImportance, outputBytes } from "./explorable-model.js";
import type { Explorer } from "./explorer.js";

export interface Reference {
  readonly name: string;
  readonly kind: "mixture" | "preset";
  /** Size of the file. */
  readonly bytes: number;
  readonly predicted: number;
}

/** Mixtures that publishers offer. */
const mixtures: readonly Ftype[] = [
  "IQ2_XXS",
  "IQ2_M",
  "Q2_K",
  "IQ3_XXS",
  "Q3_K_M",
  "IQ4_XS",
  "Q4_K_M",
  "Q5_K_M",
  "Q6_K",
  "Q8_0",
];

/** All of them that this model can have. `presets` are the texts of recipe files by name. */
export function references(explorer: Explorer, presets: ReadonlyMap<string, string>): Reference[] {
  const recipes: (readonly [Reference["kind"], Recipe])[] = [
    ...mixtures.map((name) => ["mixture", baseRecipe(name)] as const),
    ...[...presets].map(([name, text]) => ["preset", parseRecipe(text, `${name}.yaml`)] as const),
  ];
  return recipes.flatMap(([kind, recipe]): Reference[] => {
    const types = typesBy(recipe, explorer);
    if (types === undefined) {
      return [];
    }
    const bytes = outputBytes(explorer.model, types, renderRecipe(recipe), true);
    return [{ name: recipe.name, kind, bytes, predicted: explorer.predictedOf(types) }];
  });
}

/** Undefined if the recipe is not for such a model. */
function typesBy(recipe: Recipe, { model }: Explorer): ReadonlyMap<string, TypeName> | undefined {
  const { tensors, metadata } = model;
  const hasImportance = expectedImportance(tensors.map(({ name }) => name));
  try {
    const plan = chooseTypes({
      tensors,
      metadata,
      recipe,
      hasImportance,
      overrides: { allowRequantize: true },
    });
    return new Map(plan.tensors.map(({ name, to }) => [name, to]));
  } catch (error) {
    if (error instanceof LopsidedError) {
      return undefined;
    }
    throw error;
  }
}
