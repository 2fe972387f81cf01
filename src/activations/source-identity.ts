/** What stands for a model's and other files' contents, so that a later run goes on only with the same. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { ModelSource } from "../model/source.js";

/** Files with their sizes and times, or the versions that a server tells. */
export async function sourceIdentity(source: ModelSource, ...others: readonly string[]): Promise<string> {
  const files = source.files.map(({ name, byteLength, remote }) =>
    remote ? { name, byteLength, version: remote.version } : describeFile(name),
  );
  return JSON.stringify(await Promise.all([...files, ...others.map(describeFile)]));
}

async function describeFile(path: string) {
  const { size, mtimeMs } = await stat(path);
  return { path: resolve(path), size, mtimeMs };
}
