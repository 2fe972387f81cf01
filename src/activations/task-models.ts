/** The models of a task for many machines: how they are told, and finding them where the work is done. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, extname, resolve } from "node:path";
import { isAddress, shownName } from "../bytes/address.js";
import { modelFiles } from "../bytes/overwriting.js";
import { fileSha256 } from "../bytes/sha256.js";
import { EnvironmentError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import { openModelToRun } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { mostTaskFiles, type TaskFile, type TaskModel } from "../queue/chunk-task.js";
import type { SweptModel } from "./sweep.js";

/** A model where it is run. */
export interface FoundModel {
  readonly path: string;
  readonly source: ModelSource;
}

/**
 * SHA-256 of a model's contents: its header and all bytes of its files, or the version that a server tells. Reads local
 * files whole.
 */
export async function contentIdentity(source: ModelSource, signal?: AbortSignal): Promise<string> {
  const { header } = planGguf({ metadata: source.metadata, tensors: source.tensors });
  const hash = createHash("sha256").update(header);
  for (const { name, byteLength, remote } of source.files) {
    hash.update(`${byteLength} ${remote ? remote.version : await fileSha256(name, signal)}\n`);
  }
  return hash.digest("hex");
}

/** What of a plan decides where layers are computed, and which: a model in windows is computed as in one piece. */
export function placementOf({ whole, prediction }: SweptModel): string {
  return JSON.stringify([whole.gpuLayers, whole.hostExpertLayers, prediction?.count]);
}

/** A model that a run runs. */
export interface GivenModel {
  readonly path: string;
  readonly source: ModelSource;
  readonly swept: SweptModel;
}

/** A model as other machines are told of it, with the paths of its files by SHA-256. */
export interface DescribedModel {
  readonly model: TaskModel;
  readonly files: ReadonlyMap<string, string>;
}

/** How other machines are told of a model. Reads its local files whole. */
export async function describeTaskModel(
  { path, source, swept }: GivenModel,
  signal?: AbortSignal,
): Promise<DescribedModel> {
  const files = await servedFiles(path, source, signal);
  return {
    model: {
      // Where a file lies on this machine is nobody's business.
      name: isAddress(path) ? path : basename(resolve(path)),
      identity: await contentIdentity(source, signal),
      placement: placementOf(swept),
      ...(files.length > 0 && { files: files.map(({ file }) => file) }),
    },
    files: new Map(files.map(({ path: served, file }) => [file.sha256, served])),
  };
}

/** The files of a local model, the one to open first; none of a model on a server, or of one in too many files. */
async function servedFiles(path: string, source: ModelSource, signal: AbortSignal | undefined) {
  if (source.files.some(({ remote }) => remote !== undefined)) {
    return [];
  }
  const weights = source.files.map(({ name }) => resolve(name));
  const isFolder = (await stat(path)).isDirectory();
  // Beside the weights, a checkpoint has a configuration and a tokenizer.
  const others = isFolder ? (await modelFiles(path)).map((name) => resolve(name)) : [];
  const isWeights = (name: string) => extname(name).toLowerCase() === ".safetensors";
  const paths = [...weights, ...others.filter((name) => !isWeights(name))];
  if (paths.length > mostTaskFiles) {
    return [];
  }
  const folder = isFolder ? `${basename(resolve(path))}/` : "";
  const served: { readonly path: string; readonly file: TaskFile }[] = [];
  for (const name of paths) {
    const { size: bytes } = await stat(name);
    const file = { name: folder + basename(name), sha256: await fileSha256(name, signal), bytes };
    served.push({ path: name, file });
  }
  return served;
}

/** Finds where this machine has a model; undefined if it has not, and cannot get it. */
export type FindModel = (model: TaskModel) => Promise<string | undefined>;

/**
 * Opens the models of a task as this machine reaches them. Throws an EnvironmentError that says which it does not reach,
 * or has with other contents. Close the sources at the end.
 */
export async function openTaskModels(
  models: readonly TaskModel[],
  find: FindModel,
  signal?: AbortSignal,
): Promise<FoundModel[]> {
  const found: FoundModel[] = [];
  try {
    for (const model of models) {
      const path = await find(model);
      if (path === undefined) {
        throw new EnvironmentError(
          `${shownName(model.name)}: lies on another machine, which does not send it; put it into a folder here and name that with \`shared\`.`,
        );
      }
      const source = await openModelToRun(path, { signal });
      found.push({ path, source });
      if ((await contentIdentity(source, signal)) !== model.identity) {
        throw new EnvironmentError(`${shownName(path)}: has other contents here than where the run began.`);
      }
    }
    return found;
  } catch (error) {
    await closeModels(found);
    throw error;
  }
}

export async function closeModels(models: readonly FoundModel[]): Promise<void> {
  await Promise.all(models.map(({ source }) => source.close()));
}
