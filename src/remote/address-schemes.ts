/** The forms of address that models on servers have: a row for each, with all that is asked of one. */
import { shownAddress } from "../bytes/address.js";
import type { Folder } from "../bytes/folder.js";
import type { ByteSource } from "../bytes/source.js";
import { EnvironmentError, UsageError } from "../errors.js";
import { checkFetchable } from "./http.js";
import { HttpSource } from "./http-source.js";
import { type HubOptions, HubRepository } from "./hub.js";
import { parseHubAddress } from "./hub-address.js";
import { openS3Object, parseS3Address, S3Folder } from "./s3.js";
import { WebFolder } from "./web-folder.js";

/** A file on a server, and those beside it. */
export interface RemotePlace {
  /** What to call it: the address as it may be shown. */
  readonly name: string;
  /** Opens it, or another one by its name: the files of a split set are named after the first. */
  open(name: string): Promise<ByteSource>;
}

export interface AddressScheme {
  /** Whether an address is of this form. */
  matches(address: string): boolean;
  /** What it names. Throws a UsageError if it is not well formed. */
  kindOf(address: string): "file" | "folder";
  /** The file that it names. What is opened says which version it is (`RemoteFile.version`). */
  file(address: string, options: HubOptions): Promise<RemotePlace>;
  /** The folder that it names, to be listed and opened. Throws a UsageError if there are no folders there. */
  folder(address: string, options: HubOptions): Promise<Folder>;
  /** The address without what only says which version is meant. */
  withoutVersion(address: string): string;
  /** How llama-server is told to download the file; undefined if it cannot, or the model is no GGUF file. */
  serverWords(address: string): readonly string[] | undefined;
}

/** `hf://owner/repository[@revision]`, and files in it. */
const hub: AddressScheme = {
  matches: (address) => address.startsWith("hf://"),
  kindOf: (address) => (parseHubAddress(address).path === undefined ? "folder" : "file"),
  async file(address, options) {
    const parsed = parseHubAddress(address);
    const repository = await HubRepository.open(parsed, options);
    const prefix = `${repository.name}/`;
    return {
      name: `${prefix}${parsed.path}`,
      open: async (name) => {
        const source = await repository.open(name.slice(prefix.length));
        if (source) {
          return source;
        }
        throw new EnvironmentError(
          `${name}: there is no such file in the repository; check the path, and the revision.`,
          { file: name },
        );
      },
    };
  },
  async folder(address, options) {
    const { repository, path, revision } = parseHubAddress(address);
    if (path !== undefined) {
      throw new UsageError(
        `${address}: names one file; name the repository, hf://${repository}, to convert it.`,
        { model: address },
      );
    }
    return await HubRepository.open({ repository, path, revision }, options);
  },
  withoutVersion(address) {
    const { repository, path } = parseHubAddress(address);
    return `hf://${[repository, ...(path === undefined ? [] : [path])].join("/")}`;
  },
  serverWords(address) {
    const { repository, revision, path } = parseHubAddress(address);
    if (path === undefined) {
      return undefined;
    }
    // llama-server knows no revisions but by address.
    return revision === undefined
      ? ["-hfr", repository, "-hff", path]
      : ["-mu", `https://huggingface.co/${repository}/resolve/${revision}/${path}`];
  },
};

/** `https://host/path.gguf`, `https://host/folder/`: what follows a question mark belongs to all files of a set, and into no message. */
const web: AddressScheme = {
  matches: (address) => /^https?:\/\//i.test(address),
  kindOf: (address) => (shownAddress(address).endsWith("/") ? "folder" : "file"),
  async file(address, options) {
    const name = shownAddress(address);
    checkFetchable(name, address);
    const query = address.slice(name.length);
    return { name, open: (file) => HttpSource.open(file + query, options) };
  },
  async folder(address, options) {
    const shown = shownAddress(address);
    if (shown.endsWith("/")) {
      return WebFolder.open(address, options);
    }
    throw new UsageError(
      `${shown}: is not a Hugging Face folder; name a local one, hf://owner/repository, or an address that ends with a slash.`,
      { model: shown },
    );
  },
  withoutVersion: (address) => address,
  serverWords: (address) => ["-mu", address],
};

/** `s3://bucket/path/model.gguf`, or what a checkpoint's files begin with. */
const s3: AddressScheme = {
  matches: (address) => address.startsWith("s3://"),
  kindOf: (address) => (/\.gguf$/i.test(parseS3Address(address).key) ? "file" : "folder"),
  async file(address, options) {
    const { bucket, key } = parseS3Address(address);
    return {
      name: `s3://${bucket}/${key}`,
      open: (name) => openS3Object(parseS3Address(name), options),
    };
  },
  folder: async (address, options) => new S3Folder(parseS3Address(address), options),
  withoutVersion: (address) => address,
  serverWords: () => undefined,
};

const schemes: readonly AddressScheme[] = [hub, web, s3];

/** The form that an address has; undefined for a path, and for what nobody here knows how to read. */
export function schemeOf(address: string): AddressScheme | undefined {
  return schemes.find(({ matches }) => matches(address));
}
