/** The models of a task for many machines: how they are told, and finding them where the work is done. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { isAddress, shownName } from "../bytes/address.js";
import { sha256OfFile } from "../bytes/sha256.js";
import { EnvironmentError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import { openModelToRun } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import type { TaskModel } from "../queue/chunk-task.js";
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

/** Digests by file, size, date and inode: the stages of a run, and its resumption, have the same models. */
const known = new Map<string, string>();

async function fileSha256(path: string, signal: AbortSignal | undefined): Promise<string> {
  const { size, mtimeNs, ino } = await stat(path, { bigint: true });
  const key = `${path} ${size} ${mtimeNs} ${ino}`;
  const sha256 = known.get(key) ?? (await sha256OfFile(path, signal));
  known.set(key, sha256);
  return sha256;
}

/** What of a plan decides where layers are computed, and which: a model in windows is computed as in one piece. */
export function placementOf({ whole, prediction }: SweptModel): string {
  return JSON.stringify([whole.gpuLayers, whole.hostExpertLayers, prediction?.count]);
}

/** How other machines are told of a model. */
export async function taskModel(
  path: string,
  source: ModelSource,
  swept: SweptModel,
  signal?: AbortSignal,
): Promise<TaskModel> {
  return {
    // Where a file lies on this machine is nobody's business.
    name: isAddress(path) ? path : shownName(path),
    identity: await contentIdentity(source, signal),
    placement: placementOf(swept),
  };
}

/**
 * Opens the models of a task as this machine reaches them. Throws an EnvironmentError that says which it does not reach,
 * or has with other contents. Close the sources at the end.
 */
export async function openTaskModels(
  models: readonly TaskModel[],
  pathOf: (name: string) => string | undefined,
  signal?: AbortSignal,
): Promise<FoundModel[]> {
  const found: FoundModel[] = [];
  try {
    for (const { name, identity } of models) {
      const path = pathOf(name);
      if (path === undefined) {
        throw new EnvironmentError(
          `${name}: lies on another machine; put it into a folder here and name that with \`shared\`.`,
        );
      }
      const source = await openModelToRun(path, { signal });
      found.push({ path, source });
      if ((await contentIdentity(source, signal)) !== identity) {
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
