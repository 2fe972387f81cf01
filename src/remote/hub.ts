/** Repositories of the Hugging Face Hub as folders whose files are read in ranges. */
import type { ListFileEntry } from "@huggingface/hub";
import { hasCredentials, shownAddress } from "../bytes/address.js";
import type { Folder } from "../bytes/folder.js";
import { isInside } from "../bytes/inside.js";
import { quoted } from "../bytes/quoted.js";
import { EnvironmentError, LopsidedError, UsageError } from "../errors.js";
import { type HttpOptions, httpGet } from "./http.js";
import { HttpSource } from "./http-source.js";
import type { HubAddress } from "./hub-address.js";

export interface HubOptions extends HttpOptions {
  /** Defaults to the environment: `HF_ENDPOINT` and `HF_TOKEN`. */
  readonly endpoint?: string | undefined;
  readonly token?: string | undefined;
}

/** Answers of the hub's interface that are longer are refused: a page of 1000 files has some 300 kB. */
const mostAnswerBytes = 1 << 24;

/** Most pages of a listing, and most files in it: the largest repositories have some ten thousand files. */
const mostPages = 1000;
const mostEntries = 100_000;

function endless(name: string): EnvironmentError {
  return new EnvironmentError(
    `${name}: the hub's list of files does not end (more than ${mostPages} pages or ${mostEntries} files); check HF_ENDPOINT.`,
  );
}

/** One commit of a repository. */
export class HubRepository implements Folder {
  readonly #listings = new Map<string, Promise<readonly ListFileEntry[]>>();

  readonly #repository: string;
  readonly #commit: string;
  readonly #hub: Hub;
  /** Without the revision: the last part names the model. */
  readonly name: string;

  private constructor(name: string, repository: string, commit: string, hub: Hub) {
    this.name = name;
    this.#repository = repository;
    this.#commit = commit;
    this.#hub = hub;
  }

  /**
   * Finds the commit that the revision (default: main) stands for, once; all that follows is read from it. Throws an
   * EnvironmentError if there is no such repository or revision, or no access to it.
   */
  static async open({ repository, revision }: HubAddress, options: HubOptions = {}): Promise<HubRepository> {
    const name = `hf://${repository}`;
    const label = revision === undefined ? name : `${name}@${revision}`;
    const hub = new Hub(options);
    // Only who reads from the Hub loads its library.
    const { modelInfo } = await import("@huggingface/hub");
    const { sha } = await hub.call(label, (common) =>
      modelInfo({ ...common, name: repository, revision: revision ?? "main", additionalFields: ["sha"] }),
    );
    if (typeof sha === "string" && /^[0-9a-f]{40}$/.test(sha)) {
      return new HubRepository(name, repository, sha, hub);
    }
    throw new EnvironmentError(`${label}: the hub does not say which commit it is; check HF_ENDPOINT.`);
  }

  async list(subfolder = ""): Promise<readonly string[]> {
    if (subfolder !== "" && !(await this.#hasFolder(subfolder))) {
      return [];
    }
    const prefix = subfolder === "" ? "" : `${subfolder}/`;
    const files = (await this.#entries(subfolder)).filter(({ type }) => type === "file");
    return files.map(({ path }) => path.slice(prefix.length)).sort();
  }

  async open(file: string): Promise<HttpSource | undefined> {
    const folder = file.slice(0, Math.max(0, file.lastIndexOf("/")));
    if (folder !== "" && !(await this.#hasFolder(folder))) {
      return undefined;
    }
    const entry = (await this.#entries(folder)).find(({ path, type }) => path === file && type === "file");
    return entry && this.#source(entry);
  }

  #source({ path, size, oid, lfs }: ListFileEntry): HttpSource {
    const claimedSha256 = lfs && /^[0-9a-f]{64}$/.test(lfs.oid) ? lfs.oid : undefined;
    const place = [...this.#repository.split("/"), "resolve", this.#commit, ...path.split("/")];
    return new HttpSource(
      {
        name: `${this.name}/${path}`,
        url: `${this.#hub.endpoint}/${place.map(encodeURIComponent).join("/")}`,
        byteLength: lfs?.size ?? size,
        version: claimedSha256 ?? oid ?? `${this.#commit}/${path}`,
        isPinned: true,
        claimedSha256,
        headers: this.#hub.headers,
        accessHint,
      },
      this.#hub.options,
    );
  }

  /** Whether there is such a folder, known from the listings of those above it. */
  async #hasFolder(folder: string): Promise<boolean> {
    const parent = folder.slice(0, Math.max(0, folder.lastIndexOf("/")));
    if (parent !== "" && !(await this.#hasFolder(parent))) {
      return false;
    }
    return (await this.#entries(parent)).some(({ path, type }) => path === folder && type === "directory");
  }

  #entries(folder: string): Promise<readonly ListFileEntry[]> {
    const known = this.#listings.get(folder) ?? this.#fetchEntries(folder);
    this.#listings.set(folder, known);
    return known;
  }

  async #fetchEntries(folder: string): Promise<readonly ListFileEntry[]> {
    const repo = { type: "model", name: this.#repository } as const;
    const path = folder.split("/").map(encodeURIComponent).join("/");
    const { listFiles } = await import("@huggingface/hub");
    return await this.#hub.call(this.name, async (common) => {
      const entries: ListFileEntry[] = [];
      for await (const entry of listFiles({ ...common, repo, path, revision: this.#commit })) {
        entries.push(checkEntry(this.name, folder, entry));
        if (entries.length > mostEntries) {
          throw endless(this.name);
        }
      }
      return entries;
    });
  }
}

/** A server may be hostile too: what it lists must lie in the folder that it was asked for. */
function checkEntry(name: string, folder: string, entry: ListFileEntry): ListFileEntry {
  const { path, size } = entry;
  const isIn = typeof path === "string" && isInside(path) && parentOf(path) === folder;
  if (isIn && Number.isSafeInteger(size ?? 0) && (size ?? 0) >= 0) {
    return entry;
  }
  throw new EnvironmentError(
    `${name}: the hub lists ${quoted(String(path))} in ${quoted(folder)}; check HF_ENDPOINT.`,
  );
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

const accessHint =
  "if the model is private or gated, accept its terms on its page and set HF_TOKEN to a token that may read it.";

/** The hub's address and how to ask it. */
export class Hub {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  readonly options: HubOptions;

  constructor(options: HubOptions) {
    this.options = options;

    const endpoint = options.endpoint ?? (process.env.HF_ENDPOINT || "https://huggingface.co");
    this.endpoint = endpoint.replace(/\/+$/, "");
    if (!/^https?:\/\//.test(this.endpoint) || !URL.canParse(this.endpoint) || hasCredentials(endpoint)) {
      throw new UsageError(
        `HF_ENDPOINT: ${quoted(shownAddress(endpoint))} is not an address like https://huggingface.co, without user name and password.`,
      );
    }
    const token = options.token ?? process.env.HF_TOKEN;
    this.token = token || undefined;
    this.headers = token ? { authorization: `Bearer ${token}` } : {};
  }

  /** Calls a function of `@huggingface/hub` with requests that are repeated, checked and named as all of ours. */
  async call<T>(
    name: string,
    run: (common: { hubUrl: string; fetch: typeof fetch }) => Promise<T>,
  ): Promise<T> {
    let requests = 0;
    const fetch = (url: string | URL | Request) => {
      if (++requests > mostPages) {
        throw endless(name);
      }
      return this.#fetch(name, url instanceof Request ? url.url : String(url));
    };
    try {
      return await run({ hubUrl: this.endpoint, fetch });
    } catch (error) {
      if (error instanceof LopsidedError) {
        throw error;
      }
      throw new EnvironmentError(
        `${name}: the hub at ${shownAddress(this.endpoint)} gave an answer that cannot be understood (${error instanceof Error ? error.message : error}); check HF_ENDPOINT.`,
        {},
        { cause: error },
      );
    }
  }

  async #fetch(name: string, url: string): Promise<Response> {
    // The next page of a list is an address that the server gives: the token is for the hub alone.
    const isHub = URL.canParse(url) && new URL(url).origin === new URL(this.endpoint).origin;
    if (/^https:/i.test(this.endpoint) && !/^https:/i.test(url)) {
      throw new EnvironmentError(
        `${name}: the hub continues its list at an address without encryption, where what comes could be changed on its way; check HF_ENDPOINT.`,
      );
    }
    const target = () => ({ url, headers: isHub ? this.headers : {} });
    const request = { name, target, mostBytes: mostAnswerBytes, accessHint };
    const { body, headers } = await httpGet(request, this.options);
    return new Response(Buffer.from(body), { headers });
  }
}
