/** Models that a page can read: files that are dropped on it, and addresses that allow range requests from pages. */
import { shownAddress } from "../../bytes/address.js";
import type { ByteSource } from "../../bytes/source.js";
import { EnvironmentError, MalformedInputError, UsageError } from "../../errors.js";
import { metadataNumber } from "../../gguf/metadata.js";
import { type GgufHeader, readGgufHeader } from "../../gguf/reader.js";
import { openShards, withoutSplitKeys } from "../../gguf/splits.js";
import { parseHubAddress } from "../../remote/hub-address.js";
import type { OpenedModel } from "../explorable-model.js";

/** A part of a file on this computer. */
export class BlobSource implements ByteSource {
  readonly name: string;
  readonly byteLength: number;
  readonly #blob: Blob;

  constructor(file: File) {
    this.name = file.name;
    this.byteLength = file.size;
    this.#blob = file;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const part = this.#blob.slice(offset, offset + length);
    const bytes = new Uint8Array(await part.arrayBuffer());
    if (bytes.byteLength === length) {
      return bytes;
    }
    throw new MalformedInputError(`${this.name}: changed while it was read; drop it again.`);
  }

  async close(): Promise<void> {}
}

/** A file on a server. */
class FetchedSource implements ByteSource {
  readonly name: string;
  readonly byteLength: number;
  readonly #url: string;

  private constructor(url: string, byteLength: number) {
    this.name = shownAddress(url);
    this.#url = url;
    this.byteLength = byteLength;
  }

  static async open(url: string): Promise<FetchedSource> {
    const response = await fetchRange(url, 0, 1);
    await response.body?.cancel();
    const [, total] = /\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    if (total === undefined) {
      throw new EnvironmentError(
        `${shownAddress(url)}: the server does not tell pages how long the file is (Access-Control-Expose-Headers lacks Content-Range); download the file's beginning and drop it here.`,
      );
    }
    return new FetchedSource(url, Number(total));
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const response = await fetchRange(this.#url, offset, length);
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.byteLength === length) {
      return bytes;
    }
    throw new EnvironmentError(
      `${this.name}: ${length} bytes were asked for and ${bytes.byteLength} came; try again.`,
    );
  }

  async close(): Promise<void> {}
}

async function fetchRange(url: string, offset: number, length: number): Promise<Response> {
  const name = shownAddress(url);
  let response: Response;
  try {
    response = await fetch(url, {
      headers: { range: `bytes=${offset}-${offset + length - 1}` },
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
  } catch {
    throw new EnvironmentError(
      `${name}: cannot be read from a page: the server does not answer, or does not allow pages of other sites to read it (CORS). Download the file's beginning and drop it here.`,
    );
  }
  if (response.status === 206) {
    return response;
  }
  await response.body?.cancel();
  const reasons: Readonly<Record<number, string>> = {
    200: "the server sends whole files only, no ranges",
    401: "the server wants a login",
    403: "the server refuses",
    404: "there is no such file",
  };
  throw new EnvironmentError(
    `${name}: ${reasons[response.status] ?? `the server answers ${response.status}`}; check the address, or download the file's beginning and drop it here.`,
  );
}

/** Where the bytes of an `hf://`, Hub page or https address are. Throws a UsageError for other texts. */
export function urlOf(address: string): string {
  const text = address
    .trim()
    .replace(/^https:\/\/huggingface\.co\/([^/]+\/[^/]+)\/blob\//, "https://huggingface.co/$1/resolve/");
  if (/^hf:/i.test(text)) {
    const { repository, revision = "main", path } = parseHubAddress(text);
    if (path === undefined) {
      throw new UsageError(
        `${text}: names a repository; name a GGUF file in it, like ${text}/model-Q8_0.gguf.`,
      );
    }
    const file = path.split("/").map(encodeURIComponent).join("/");
    return `https://huggingface.co/${repository}/resolve/${encodeURIComponent(revision)}/${file}`;
  }
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) {
    return text;
  }
  throw new UsageError(
    `"${text}" is not an address; write hf://owner/repository/file.gguf or https://host/file.gguf.`,
  );
}

/** Whether an address is the Hub's: only such are read because a link says so. */
export function isHubAddress(address: string): boolean {
  return new URL(urlOf(address)).origin === "https://huggingface.co";
}

/** Opens a model by its address, with the other files of its set. */
export async function openAddress(address: string): Promise<OpenedModel> {
  const shards = await openShards(urlOf(address), (url) => FetchedSource.open(url));
  return openedModel(
    address.trim(),
    shards.map(({ header }) => header),
    shards.reduce((sum, { source }) => sum + source.byteLength, 0),
  );
}

/** Opens a file, whole or its beginning. */
export async function openFile(file: File): Promise<OpenedModel> {
  const header = await headerIn(file);
  const count = metadataNumber(header.metadata, "split.count") ?? 1;
  if (count > 1) {
    throw new UsageError(
      `${file.name}: is one of ${count} files of a split model; give the address of the first, from which the others are found.`,
    );
  }
  const end = header.tensors.reduce((last, { offset, byteLength }) => Math.max(last, offset + byteLength), 0);
  return openedModel(file.name, [header], Math.max(file.size, end));
}

async function headerIn(file: File): Promise<GgufHeader> {
  try {
    return await readGgufHeader(new BlobSource(file), { isHeaderOnly: true });
  } catch (error) {
    if (error instanceof MalformedInputError && error.details.isCutOff === true) {
      throw new MalformedInputError(
        `${file.name}: its ${file.size} bytes end before the header does; drop more of the file's beginning, or the whole file.`,
      );
    }
    throw error;
  }
}

function openedModel(name: string, headers: readonly GgufHeader[], byteLength: number): OpenedModel {
  return {
    name,
    metadata: withoutSplitKeys(headers[0]?.metadata ?? new Map()),
    tensors: headers.flatMap(({ tensors }) => tensors),
    byteLength,
    files: headers.length,
  };
}
