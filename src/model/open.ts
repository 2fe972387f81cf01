import { stat } from "node:fs/promises";
import { UsageError } from "../errors.js";
import { openGguf } from "./gguf-model.js";
import { openHuggingFaceFolder } from "./huggingface/open.js";
import type { ModelSource } from "./source.js";

/**
 * Opens a MODEL argument: a GGUF file (or the first of a split set) or a Hugging Face folder.
 * Throws a UsageError for forms that are not supported, an EnvironmentError if it cannot be opened, a
 * MalformedInputError if it is damaged.
 */
export async function openModel(model: string): Promise<ModelSource> {
  if (/^(hf|https?):\/\//.test(model)) {
    throw new UsageError(`${model}: remote models cannot be read yet; download it and name the local file.`, {
      model,
    });
  }
  const isFolder = await stat(model).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  return isFolder ? openHuggingFaceFolder(model) : openGguf(model);
}
