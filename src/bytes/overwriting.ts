/**
 * No output may be an input: checked by what files are, not by how they are called, before the first byte is read.
 * Every command that writes asks this with all that it reads.
 */
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UsageError } from "../errors.js";
import { hiddenPath } from "./output.js";

/** Files of a model's folder that converting it may read. */
const readInFolders =
  /\.(?:safetensors|jinja)$|^(?:README\.md|merges\.txt|vocab\.txt|tokenizer\.model|(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template|modules|.*\.index)\.json)$/i;

/** A file of a split set; the others are read with it. */
const splitName = /^(.*)-\d{5,}-of-(\d{5,})\.gguf$/s;

/** What follows an output's name in those of unfinished work beside it: checkpoints, streams, passes. */
const unfinishedSuffix = /^(?:\.(?:partial|new|stream(?:-\d+)?|pass-\d+))+$/;

/** What follows it in hidden names. */
const hiddenSuffix = /^(?:partial|journal|lock-.*)$/;

/**
 * Throws a UsageError if a file to be written is one of those that are read, or if two to be written are one: by
 * device and inode, so through any link, and in any case of letters where the disk does not tell them apart. The same
 * holds for the names that unfinished work takes beside an output.
 * @param outputs paths of files to be written, which need not exist
 * @param inputs paths of files and of models' folders; addresses and what is undefined do not matter
 */
export async function checkOutputs(
  outputs: readonly (string | undefined)[],
  inputs: readonly (string | undefined)[],
): Promise<void> {
  const read = new Map<string, string>();
  for (const input of inputs) {
    for (const path of input === undefined ? [] : await modelFiles(input)) {
      const identity = await identityOf(path);
      if (identity !== undefined) {
        read.set(identity, path);
      }
    }
  }
  const written = new Map<string, string>();
  for (const output of outputs) {
    if (output === undefined || output === "") {
      continue;
    }
    const identity = (await identityOf(output)) ?? (await futureIdentity(output));
    const input = read.get(identity);
    if (input !== undefined) {
      const what =
        resolve(input) === resolve(output) ? "is read" : `is the same file as ${input}, which is read`;
      throw new UsageError(
        `${output}: ${what} by this command, and writing would destroy it; write to another file.`,
        {
          file: output,
        },
      );
    }
    for (const path of await unfinishedBeside(output)) {
      const taken = read.get((await identityOf(path)) ?? "");
      if (taken !== undefined) {
        throw new UsageError(
          `${taken}: is read by this command, which keeps unfinished work for ${output} in ${path}; rename one of them.`,
          { file: taken },
        );
      }
    }
    const other = written.get(identity);
    if (other !== undefined) {
      throw new UsageError(`${output}: two results of this command would be written to it; name two files.`, {
        file: output,
      });
    }
    written.set(identity, output);
  }
}

/** The local files that reading `path` may read: a split set has more than one, a folder those of a model. */
export async function modelFiles(path: string): Promise<string[]> {
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path)) {
    return [];
  }
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) {
    const names = await readdir(path).catch(() => []);
    return names.filter((name) => readInFolders.test(name)).map((name) => join(path, name));
  }
  const [, prefix, count] = splitName.exec(basename(path)) ?? [];
  if (prefix === undefined) {
    return [path];
  }
  const names = await readdir(dirname(path)).catch(() => []);
  const isOfSet = (name: string) => {
    const [, otherPrefix, otherCount] = splitName.exec(name) ?? [];
    return otherPrefix === prefix && otherCount === count;
  };
  return names.filter(isOfSet).map((name) => join(dirname(path), name));
}

/** Files that have names of unfinished work for an output, whatever they are. */
async function unfinishedBeside(output: string): Promise<string[]> {
  const named = resolve(output);
  const places = new Set([named, await realpath(named).catch(() => named)]);
  const found = await Promise.all(
    [...places].map(async (place) => {
      const [folder, name, hidden] = [dirname(place), basename(place), basename(hiddenPath(place, ""))];
      const names = await readdir(folder).catch(() => []);
      const follows = (entry: string, start: string, suffix: RegExp) =>
        entry.startsWith(start) && suffix.test(entry.slice(start.length));
      return names
        .filter((entry) => follows(entry, name, unfinishedSuffix) || follows(entry, hidden, hiddenSuffix))
        .map((entry) => join(folder, entry));
    }),
  );
  return found.flat();
}

async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.dev}:${found.ino}`;
}

/** Of a file that does not exist yet: its folder's identity and its name there. */
async function futureIdentity(path: string): Promise<string> {
  const folder = await realpath(dirname(resolve(path))).catch(() => dirname(resolve(path)));
  const name = basename(path).normalize("NFC");
  const place = (await identityOf(folder)) ?? folder;
  return `${place}/${(await ignoresCase(folder)) ? name.toLowerCase() : name}`;
}

/** Whether a disk takes names that differ in case for the same: if the folder is found by its name in the other. */
async function ignoresCase(folder: string): Promise<boolean> {
  const name = basename(folder);
  const swapped = name === name.toLowerCase() ? name.toUpperCase() : name.toLowerCase();
  if (swapped === name) {
    return process.platform === "darwin" || process.platform === "win32";
  }
  const own = await identityOf(folder);
  return own !== undefined && own === (await identityOf(join(dirname(folder), swapped)));
}
