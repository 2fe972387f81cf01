/** Points beside the curve: recipes that people know (llama.cpp's mixtures, Lopsided's presets), and what was made. */
import { LopsidedError } from "../errors.js";
import type { TypeName } from "../quants/types.js";
import type { Ftype } from "../recipe/ftypes.js";
import { baseRecipe, parseRecipe, type Recipe } from "../recipe/recipe.js";
import { renderRecipe } from "../recipe/render.js";
import { chooseTypes } from "../recipe/type-plan.js";
import { hasImportance, outputBytes } from "./explorable-model.js";
import type { Explorer, MadeModel } from "./explorer.js";

export interface Reference {
  readonly name: string;
  readonly kind: "mixture" | "preset" | "made";
  /** Size of the file. */
  readonly bytes: number;
  readonly predicted: number;
  /** Divergence that was measured. */
  readonly measured?: number | undefined;
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

/** All of them that this model can have, and what was made of it. `presets` are the texts of recipe files by name. */
export function references(
  explorer: Explorer,
  presets: ReadonlyMap<string, string>,
  made?: MadeModel,
): Reference[] {
  const recipes: (readonly [Reference["kind"], Recipe])[] = [
    ...mixtures.map((name) => ["mixture", baseRecipe(name)] as const),
    ...[...presets].map(([name, text]) => ["preset", parseRecipe(text, `${name}.yaml`)] as const),
  ];
  const known = recipes.flatMap(([kind, recipe]): Reference[] => {
    const types = typesBy(recipe, explorer);
    if (types === undefined) {
      return [];
    }
    const bytes = outputBytes(explorer.model, types, renderRecipe(recipe), true);
    return [{ name: recipe.name, kind, bytes, predicted: explorer.predictedOf(types) }];
  });
  if (made === undefined) {
    return known;
  }
  const { name, bytes, measured } = made;
  return [...known, { name, kind: "made", bytes, measured, predicted: explorer.predictedOf(made.types) }];
}

/** Undefined if the recipe is not for such a model. */
function typesBy(recipe: Recipe, { model }: Explorer): ReadonlyMap<string, TypeName> | undefined {
  const { tensors, metadata } = model;
  try {
    const plan = chooseTypes({
      tensors,
      metadata,
      recipe,
      hasImportance: hasImportance(model),
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
