/** Folders on plain web servers, which list nothing: files are asked for by the names that they have in checkpoints. */
import { shownAddress } from "../bytes/address.js";
import type { Folder } from "../bytes/folder.js";
import { isInside } from "../bytes/inside.js";
import { EnvironmentError, MalformedInputError } from "../errors.js";
import { checkFetchable, type HttpOptions } from "./http.js";
import { type HttpFile, HttpSource } from "./http-source.js";

export class WebFolder implements Folder {
  /** Without the slash at its end: the last part names the model. */
  readonly name: string;
  readonly #query: string;
  readonly #options: HttpOptions;
  readonly #found = new Map<string, Promise<HttpFile | undefined>>();

  private constructor(name: string, query: string, options: HttpOptions) {
    this.name = name;
    this.#query = query;
    this.#options = options;
  }

  /** What follows a question mark in the address belongs to all files. Throws a UsageError for an address that is none. */
  static open(address: string, options: HttpOptions = {}): WebFolder {
    const shown = shownAddress(address);
    checkFetchable(shown, address);
    return new WebFolder(shown.replace(/\/+$/, ""), address.slice(shown.length), options);
  }

  async list(): Promise<readonly string[]> {
    return [];
  }

  /** Asks the server once whether there is such a file. Throws an EnvironmentError if it does not say. */
  async open(file: string): Promise<HttpSource | undefined> {
    if (!isInside(file)) {
      throw new MalformedInputError(`${this.name}: "${file}" leads out of the folder; it is not opened.`, {
        file: this.name,
      });
    }
    const finding = this.#found.get(file) ?? this.#find(file);
    this.#found.set(file, finding);
    const found = await finding;
    return found && new HttpSource(found, this.#options);
  }

  async #find(file: string): Promise<HttpFile | undefined> {
    const path = file.split("/").map(encodeURIComponent).join("/");
    try {
      return await HttpSource.find(`${this.name}/${path}${this.#query}`, this.#options);
    } catch (error) {
      if (
        error instanceof EnvironmentError &&
        (error.details.status === 404 || error.details.status === 410)
      ) {
        return undefined;
      }
      throw error;
    }
  }
}
