/** Finding a recipe by what the user wrote: a file, a preset shipped with the package, or a mixture's name. */
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readWholeText } from "../bytes/text-file.js";
import { suggestion } from "../contract/suggest.js";
import { UsageError } from "../errors.js";
import { type Base, baseNames, parseBase } from "./ftypes.js";
import { baseRecipe, parseRecipe, type Recipe } from "./recipe.js";

const presetFolder = new URL("../../recipes/", import.meta.url);

/** In bytes; what a recipe may have in characters is less. */
const largestRecipe = 2 ** 22;

/** Names of the presets that ship as recipe files. */
export async function presetNames(): Promise<string[]> {
  const files = await readdir(presetFolder);
  return files
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -".yaml".length))
    .sort();
}

/** The text of a preset, and what messages call its file. */
async function presetText(name: string): Promise<{ text: string; file: string }> {
  const url = new URL(`${name}.yaml`, presetFolder);
  return { text: await readWholeText(fileURLToPath(url), largestRecipe), file: `recipes/${name}.yaml` };
}

/** The texts of all presets, by name. */
export async function presetTexts(): Promise<Map<string, string>> {
  const names = await presetNames();
  return new Map(
    await Promise.all(names.map(async (name) => [name, (await presetText(name)).text] as const)),
  );
}

/**
 * The recipe that `nameOrFile` means. Whatever has a path separator or ends in .yaml or .yml is a file; other
 * words are presets, then llama.cpp's mixtures and types (`Q4_K_M`), in any case. Throws a UsageError that
 * suggests the nearest name.
 */
export async function loadRecipe(nameOrFile: string): Promise<Recipe> {
  if (/[\\/]|\.ya?ml$/i.test(nameOrFile)) {
    return parseRecipe(await readWholeText(nameOrFile, largestRecipe), nameOrFile);
  }
  const presets = await presetNames();
  const preset = presets.find((name) => name === nameOrFile.toLowerCase());
  if (preset !== undefined) {
    const { text, file } = await presetText(preset);
    return parseRecipe(text, file);
  }
  const base = parseBase(nameOrFile);
  if (base !== undefined) {
    return baseRecipe(base);
  }
  throw new UsageError(
    `"${nameOrFile}" is not a recipe${suggestion(nameOrFile, [...presets, ...baseNames])} A recipe file is given with its ending, like ./my.yaml.`,
    { recipe: nameOrFile },
  );
}

/** Reads the value of `--base`. Throws a UsageError that suggests the nearest name. */
export function parseBaseOption(text: string): Base {
  const base = parseBase(text);
  if (base !== undefined) {
    return base;
  }
  throw new UsageError(`\`base\`: "${text}" is not a mixture or a type${suggestion(text, baseNames)}`, {
    base: text,
  });
}
