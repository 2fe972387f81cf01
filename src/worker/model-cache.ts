/**
 * Models that coordinators send to a worker, on its disk: a folder for each, named by the model's contents. Files are
 * compared with their SHA-256 whenever a model is taken up; a damaged one is fetched again. Those used least recently go
 * when there is no room for another.
 */
import { readdir, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { checkRoom, createFolder, freeBytes, userCacheFolder } from "../bytes/disk.js";
import { FileLock } from "../bytes/lock.js";
import { fileSha256 } from "../bytes/sha256.js";
import { CancelledError, EnvironmentError, UsageError } from "../errors.js";
import type { TaskFile, TaskModel } from "../queue/chunk-task.js";
import { type HttpAccess, LaterError, NotWanted } from "../queue/data-access.js";
import { downloadFile } from "../remote/download-file.js";
import { formatBytes } from "../units.js";

/** Part of the free disk that models may take unless told otherwise; those that are kept count as free. */
const diskShare = 0.5;

/** Models in use are marked again with every look around; one that was marked in this time is nobody's to remove. */
const inUseMs = 60_000;

/** Folders of models; what others put beside them is left alone. */
const folderName = /^[0-9a-f]{64}$/;

export interface ModelCacheOptions {
  /** By default a folder in the user's cache. */
  readonly folder?: string | undefined;
  /** Most bytes of all models. */
  readonly mostBytes?: number | undefined;
  readonly access: Pick<HttpAccess, "readFile">;
  /** Hears what is fetched. */
  readonly onFetch?: (sentence: string) => void;
}

export class ModelCache {
  readonly #folder: string;
  readonly #options: ModelCacheOptions;
  /** Folders in use, by who uses them. */
  readonly #held = new Map<string, Set<string>>();

  constructor(options: ModelCacheOptions) {
    this.#options = options;
    this.#folder = options.folder ?? join(userCacheFolder(), "models");
  }

  /**
   * Path of a model, whole and undamaged, which stays until `holder` releases it: what is missing comes from the
   * coordinator. Undefined if that does not serve it. Throws an EnvironmentError if it does not fit, or the disk is full;
   * a LaterError if the coordinator cannot be reached or another process is fetching it.
   */
  async hold(
    holder: string,
    model: TaskModel,
    coordinator: string,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const { name, identity, files } = model;
    const [first] = files ?? [];
    if (files === undefined || first === undefined) {
      return undefined;
    }
    this.#held.set(holder, (this.#held.get(holder) ?? new Set()).add(identity));
    const folder = join(this.#folder, identity);
    await createFolder(folder);
    const lock = await lockOf(folder, name);
    try {
      await this.#makeRoom(model, files);
      await this.#complete(folder, model, files, coordinator, signal);
    } catch (error) {
      // What has come may be gone on with later; a disk that is full is not left so.
      const mayGoOn = [LaterError, CancelledError, NotWanted].some((kind) => error instanceof kind);
      if (!mayGoOn && !(await this.#isWhole(folder, files))) {
        await rm(folder, { recursive: true, force: true });
      }
      throw error;
    } finally {
      await lock.release();
    }
    await this.touch();
    return join(folder, first.name.split("/")[0] ?? "");
  }

  /** Models that nobody else holds may go from now on. */
  release(holder: string): void {
    this.#held.delete(holder);
  }

  /** Tells other workers that use the folder which models are in use. */
  async touch(): Promise<void> {
    const now = new Date();
    for (const identity of this.#inUse()) {
      await utimes(join(this.#folder, identity), now, now).catch(() => {});
    }
  }

  #inUse(): Set<string> {
    return new Set([...this.#held.values()].flatMap((identities) => [...identities]));
  }

  /** Whether all files are there in their full length: somebody with more room may use them. */
  async #isWhole(folder: string, files: readonly TaskFile[]): Promise<boolean> {
    const sizes = await Promise.all(files.map(({ name }) => sizeOf(join(folder, name))));
    return files.every(({ bytes }, i) => sizes[i] === bytes);
  }

  /** Fetches what is missing or damaged. */
  async #complete(
    folder: string,
    { name }: TaskModel,
    files: readonly TaskFile[],
    coordinator: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { access, onFetch } = this.#options;
    let isSaid = false;
    for (const { name: file, sha256, bytes } of files) {
      const path = join(folder, file);
      await createFolder(dirname(path));
      if ((await sizeOf(path)) === bytes && (await fileSha256(path, signal)) === sha256) {
        continue;
      }
      if (!isSaid) {
        isSaid = true;
        onFetch?.(
          `${name} (${formatBytes(totalBytes(files))}) is fetched from ${coordinator} into ${folder}.`,
        );
      }
      const served = {
        name: file,
        byteLength: bytes,
        read: async (offset: number, length: number) =>
          await access.readFile(coordinator, sha256, offset, length),
        remote: { claimedSha256: sha256 },
      };
      await downloadFile(served, path, { signal });
    }
  }

  /** Removes models until another fits. Throws an EnvironmentError if it cannot. */
  async #makeRoom({ name, identity }: TaskModel, files: readonly TaskFile[]): Promise<void> {
    const bytes = totalBytes(files);
    const kept = await this.#kept();
    const there = kept.find((model) => model.identity === identity)?.bytes ?? 0;
    let total = kept.reduce((sum, model) => sum + model.bytes, 0);
    const free = (await freeBytes(this.#folder)) ?? Number.POSITIVE_INFINITY;
    const { mostBytes = diskShare * (free + total) } = this.#options;
    const inUse = this.#inUse();
    for (const model of kept.toSorted((a, b) => a.usedAt - b.usedAt)) {
      const isFree = !inUse.has(model.identity) && model.usedAt < Date.now() - inUseMs;
      if (total - there + bytes > mostBytes && isFree) {
        await rm(join(this.#folder, model.identity), { recursive: true, force: true });
        total -= model.bytes;
      }
    }
    const others = total - there;
    if (others + bytes > mostBytes) {
      const beside = others > 0 ? `, ${formatBytes(others)} of which are in use` : "";
      throw new EnvironmentError(
        `${name}: has ${formatBytes(bytes)}, and this worker keeps at most ${formatBytes(mostBytes)} of models in ${this.#folder}${beside}; allow more with \`modelsSize\`, or put the model into a folder here and name that with \`shared\`.`,
        { neededBytes: bytes, mostBytes },
      );
    }
    await checkRoom(this.#folder, this.#folder, bytes - there);
  }

  async #kept(): Promise<{ identity: string; bytes: number; usedAt: number }[]> {
    const names = (await readdir(this.#folder)).filter((name) => folderName.test(name));
    return await Promise.all(
      names.map(async (identity) => {
        const folder = join(this.#folder, identity);
        const files = await readdir(folder, { recursive: true }).catch(() => []);
        const found = await Promise.all(
          files.map(async (file) => await stat(join(folder, file)).catch(() => undefined)),
        );
        const bytes = found.reduce((sum, file) => sum + (file?.isFile() ? file.size : 0), 0);
        const usedAt = (await stat(folder).catch(() => undefined))?.mtimeMs ?? 0;
        return { identity, bytes, usedAt };
      }),
    );
  }
}

async function lockOf(folder: string, name: string): Promise<FileLock> {
  try {
    return await FileLock.acquire(folder);
  } catch (error) {
    throw error instanceof UsageError
      ? new LaterError(`${name}: is being fetched by another worker here; waiting for it.`)
      : error;
  }
}

function totalBytes(files: readonly TaskFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
