/** A folder of files in memory, for tests. */
import type { Folder } from "../bytes/folder.js";
import { type ByteSource, MemorySource } from "../bytes/source.js";

/** Contents by file name (or `subfolder/name`): bytes, text, or a value to write as JSON. */
export type Files = Readonly<Record<string, Uint8Array | string | object>>;

export class MemoryFolder implements Folder {
  /** Sources opened and not yet closed. */
  readonly opened: Set<ByteSource> = new Set();

  readonly #files: Files;
  readonly name: string;

  constructor(name: string, files: Files) {
    this.name = name;
    this.#files = files;
  }

  async list(subfolder?: string): Promise<readonly string[]> {
    const prefix = subfolder === undefined ? "" : `${subfolder}/`;
    return Object.keys(this.#files)
      .filter((file) => file.startsWith(prefix) && !file.slice(prefix.length).includes("/"))
      .map((file) => file.slice(prefix.length))
      .sort();
  }

  async open(file: string): Promise<ByteSource | undefined> {
    const content = this.#files[file];
    if (content === undefined) {
      return undefined;
    }
    const source = new MemorySource(`${this.name}/${file}`, toBytes(content));
    this.opened.add(source);
    source.close = async () => void this.opened.delete(source);
    return source;
  }

  /** Names of the sources that nobody closed. */
  get unclosed(): readonly string[] {
    return [...this.opened].map((source) => source.name);
  }
}

function toBytes(content: Uint8Array | string | object): Uint8Array {
  if (content instanceof Uint8Array) {
    return content;
  }
  return new TextEncoder().encode(typeof content === "string" ? content : JSON.stringify(content));
}
