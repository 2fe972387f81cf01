/** Recipes as text: what a quantized file records of how it was made, and what can be read again. */
import { Document, isCollection, isSeq } from "yaml";
import type { Recipe, Rule } from "./recipe.js";
import type { LayerRange } from "./schema.js";

/** A recipe as YAML that `parseRecipe` reads back to the same recipe. */
export function renderRecipe(recipe: Recipe): string {
  const { name, description, base, pure, keepExperts, padExperts, rules } = recipe;
  const document = new Document({
    name,
    description,
    base,
    pure: pure || undefined,
    keepExperts,
    padExperts: padExperts || undefined,
    rules: rules.length > 0 ? rules.map(plainRule) : undefined,
  });
  // One line for each rule.
  const list = document.get("rules");
  if (isSeq(list)) {
    for (const rule of list.items) {
      if (isCollection(rule)) {
        rule.flow = true;
      }
    }
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

function plainRule({ tensors, match, layers, type, optional }: Rule) {
  return { tensors, match, layers: layers?.map(plainRange), type, optional: optional || undefined };
}

function plainRange([first, last]: LayerRange): string | number {
  return first === last ? first : `${first}-${last}`;
}
