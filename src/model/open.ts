/** MODEL arguments: how each form of address is opened. */

import { stat } from "node:fs/promises";
import { shownAddress } from "../bytes/address.js";
import { EnvironmentError, UsageError } from "../errors.js";
import { checkFetchable } from "../remote/http.js";
import { HttpSource } from "../remote/http-source.js";
import { type HubOptions, HubRepository } from "../remote/hub.js";
import { parseHubAddress } from "../remote/hub-address.js";
import { openGguf } from "./gguf-model.js";
import type { ConversionOptions, HuggingFaceModel } from "./huggingface/model.js";
import { openHuggingFaceFolder, openHuggingFaceModel } from "./huggingface/open.js";
import type { ModelSource } from "./source.js";

/** How to reach models on servers, and how to read checkpoints: see `HubOptions` and `ConversionOptions`. */
export type OpenOptions = HubOptions & ConversionOptions;

/**
 * Opens a MODEL argument: a GGUF file (or the first of a split set), a Hugging Face folder, or one of them on a
 * server: `https://...gguf`, `hf://owner/repository[@revision]/path.gguf`, `hf://owner/repository[@revision]`.
 * Throws a UsageError for what is of no such form, an EnvironmentError if it cannot be opened, a
 * MalformedInputError if it is damaged. Once `signal` is aborted, reads of remote models throw a CancelledError.
 */
export async function openModel(model: string, options: OpenOptions = {}): Promise<ModelSource> {
  if (isHub(model) && parseHubAddress(model).path !== undefined) {
    return await openHubGguf(model, options);
  }
  if (isWeb(model)) {
    return await openWebGguf(model, options);
  }
  return (await isFolder(model)) ? await openFolder(model, options) : await openGguf(model);
}

/** Opens a Hugging Face folder, local or `hf://owner/repository[@revision]`. Errors: see `openModel`. */
export async function openFolder(model: string, options: OpenOptions = {}): Promise<HuggingFaceModel> {
  if (isWeb(model)) {
    const shown = shownAddress(model);
    throw new UsageError(
      `${shown}: is not a Hugging Face folder; name a local one or hf://owner/repository.`,
      {
        model: shown,
      },
    );
  }
  if (!isHub(model)) {
    return await openHuggingFaceFolder(model, options);
  }
  const address = parseHubAddress(model);
  if (address.path !== undefined) {
    throw new UsageError(
      `${model}: names one file; name the repository, hf://${address.repository}, to convert it.`,
      { model },
    );
  }
  return await openHuggingFaceModel(await HubRepository.open(address, options), options);
}

function isWeb(model: string): boolean {
  return /^https?:\/\//i.test(model);
}

function isHub(model: string): boolean {
  return model.startsWith("hf://");
}

async function isFolder(model: string): Promise<boolean> {
  if (isHub(model)) {
    return true;
  }
  return await stat(model).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}

async function openHubGguf(model: string, options: OpenOptions): Promise<ModelSource> {
  const address = parseHubAddress(model);
  const repository = await HubRepository.open(address, options);
  const prefix = `${repository.name}/`;
  // The files of a set are named after the first, in the same folder of the same commit.
  return await openGguf(`${prefix}${address.path}`, async (name) => {
    const source = await repository.open(name.slice(prefix.length));
    if (source) {
      return source;
    }
    throw new EnvironmentError(
      `${name}: there is no such file in the repository; check the path, and the revision.`,
      { file: name },
    );
  });
}

/** What follows a question mark in the address belongs to all files of a set, and into no message. */
async function openWebGguf(model: string, options: OpenOptions): Promise<ModelSource> {
  checkFetchable(shownAddress(model), model);
  const path = shownAddress(model);
  const query = model.slice(path.length);
  return await openGguf(path, (name) => HttpSource.open(name + query, options));
}
