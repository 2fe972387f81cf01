/** Copies a remote model's files to a folder; goes on where a run was stopped. */
import { rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { checkRoom, createFolder, syncFolder } from "../bytes/disk.js";
import { partialPathOf } from "../bytes/output.js";
import { openModel } from "../model/open.js";
import type { OnProgress } from "../progress.js";
import { downloadFile } from "../remote/download-file.js";

export interface DownloadOptions {
  /** Whether parts that lie in the folder are of the same files; they are fetched again otherwise. */
  readonly continues: boolean;
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Downloads all files of a GGUF model; returns the paths, the one to open first. Files of the Hub are checked
 * against its SHA-256. Throws an EnvironmentError if the disk has too little room, a file is damaged or the server
 * fails.
 */
export async function downloadModel(
  model: string,
  folder: string,
  options: DownloadOptions,
): Promise<string[]> {
  const source = await openModel(model, { signal: options.signal });
  try {
    if (!options.continues) {
      await rm(folder, { recursive: true, force: true });
    }
    await createFolder(folder);
    const places = source.files.map((file) => ({ file, path: join(folder, basename(file.name)) }));
    let there = 0;
    for (const { path } of places) {
      there += (await sizeOf(path)) ?? (await sizeOf(partialPathOf(path))) ?? 0;
    }
    await checkRoom(folder, folder, source.byteLength - there);
    let done = 0;
    for (const { file, path } of places) {
      const onBytes = (bytes: number) => {
        const detail = basename(path);
        options.onProgress({
          step: "download",
          done: done + bytes,
          total: source.byteLength,
          unit: "bytes",
          detail,
        });
      };
      if ((await sizeOf(path)) === undefined) {
        await downloadFile(file, path, { onBytes, signal: options.signal });
      }
      done += file.byteLength;
    }
    await syncFolder(folder);
    return places.map(({ path }) => path);
  } finally {
    await source.close();
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
