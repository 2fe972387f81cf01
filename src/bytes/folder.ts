/** Folders of files, wherever they lie. */

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { EnvironmentError, MalformedInputError, systemErrorCode } from "../errors.js";
import { isInside } from "./inside.js";
import { type ByteSource, FileSource } from "./source.js";

/** A folder of files: on disk, in memory, a repository, or on a web server. */
export interface Folder {
  /** What to call it in a message: a path or an address. */
  readonly name: string;
  /** Names of the files in it, or in its subfolder (none if there is no such subfolder), sorted. */
  list(subfolder?: string): Promise<readonly string[]>;
  /** Opens a file in it (`name` or `subfolder/name`), or undefined if there is none. */
  open(file: string): Promise<ByteSource | undefined>;
}

/** Whether a folder has a file, also one that lists nothing (see `WebFolder`). */
export async function hasFile(folder: Folder, file: string): Promise<boolean> {
  const source = await folder.open(file);
  await source?.close();
  return source !== undefined;
}

/** A folder on disk. */
export class LocalFolder implements Folder {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  /** Throws an EnvironmentError if there is no readable folder at `path`. */
  static async open(path: string): Promise<LocalFolder> {
    try {
      const found = await stat(path);
      if (found.isDirectory()) {
        return new LocalFolder(path);
      }
    } catch (cause) {
      const problem = systemErrorCode(cause) === "ENOENT" ? "no such folder" : `unreadable (${cause})`;
      throw new EnvironmentError(`${path}: ${problem}; check the path.`, { file: path }, { cause });
    }
    throw new EnvironmentError(`${path}: is not a folder; name a folder with config.json and safetensors.`, {
      file: path,
    });
  }

  async list(subfolder = "."): Promise<readonly string[]> {
    try {
      const entries = await readdir(join(this.name, subfolder), { withFileTypes: true });
      // Links too: the Hugging Face cache keeps its files as links.
      return entries
        .filter((entry) => !entry.isDirectory())
        .map((entry) => entry.name)
        .sort();
    } catch (cause) {
      if (systemErrorCode(cause) === "ENOENT") {
        return [];
      }
      throw new EnvironmentError(
        `${this.name}: cannot be listed (${cause}).`,
        { file: this.name },
        { cause },
      );
    }
  }

  async open(file: string): Promise<ByteSource | undefined> {
    if (!isInside(file)) {
      throw new MalformedInputError(`${this.name}: "${file}" leads out of the folder; it is not opened.`, {
        file: this.name,
      });
    }
    try {
      return await FileSource.open(join(this.name, file));
    } catch (error) {
      if (error instanceof EnvironmentError && systemErrorCode(error.cause) === "ENOENT") {
        return undefined;
      }
      throw error;
    }
  }
}
