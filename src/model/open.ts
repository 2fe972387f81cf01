/** MODEL arguments: how each form of address is opened. */

import { stat } from "node:fs/promises";
import { schemeOf } from "../remote/address-schemes.js";
import type { HubOptions } from "../remote/hub.js";
import { openGguf } from "./gguf-model.js";
import { asConverted } from "./huggingface/as-converted.js";
import { type ConversionOptions, type HuggingFaceModel, isCheckpoint } from "./huggingface/model.js";
import { openHuggingFaceFolder, openHuggingFaceModel } from "./huggingface/open.js";
import type { ModelSource } from "./source.js";

/** How to reach models on servers, and how to read checkpoints: see `HubOptions` and `ConversionOptions`. */
export type OpenOptions = HubOptions & ConversionOptions;

/**
 * Opens a MODEL argument: a GGUF file (or the first of a split set), a Hugging Face folder, or one of them on a
 * server: `https://...gguf`, `hf://owner/repository[@revision]/path.gguf`, `hf://owner/repository[@revision]`,
 * `https://.../` (with a slash at its end), `s3://bucket/path.gguf`, `s3://bucket/path`
 * (`remote/address-schemes.ts`).
 * Throws a UsageError for what is of no such form, an EnvironmentError if it cannot be opened, a
 * MalformedInputError if it is damaged. Once `signal` is aborted, reads of remote models throw a CancelledError.
 */
export async function openModel(model: string, options: OpenOptions = {}): Promise<ModelSource> {
  const scheme = schemeOf(model);
  if (scheme?.kindOf(model) === "file") {
    const { name, open } = await scheme.file(model, options);
    return await openGguf(name, open);
  }
  return (await isFolder(model)) ? await openFolder(model, options) : await openGguf(model);
}

/**
 * Opens a model as what llama.cpp runs: a checkpoint of packed weights as the file that `convert --type auto` makes of
 * it. Errors: see `openModel`.
 */
export async function openModelToRun(model: string, options: OpenOptions = {}): Promise<ModelSource> {
  const source = await openModel(model, options);
  return isCheckpoint(source) ? asConverted(source) : source;
}

/** Opens a Hugging Face folder, local or on a server. Errors: see `openModel`. */
export async function openFolder(model: string, options: OpenOptions = {}): Promise<HuggingFaceModel> {
  const folder = await schemeOf(model)?.folder(model, options);
  return folder ? await openHuggingFaceModel(folder, options) : await openHuggingFaceFolder(model, options);
}

async function isFolder(model: string): Promise<boolean> {
  if (schemeOf(model) !== undefined) {
    return true;
  }
  return await stat(model).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}
