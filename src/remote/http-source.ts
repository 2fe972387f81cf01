/** A file on a server that answers range requests. Nothing of it is kept but what was asked for. */
import { shownAddress } from "../bytes/address.js";
import type { ByteSource, RemoteFile } from "../bytes/source.js";
import { checkRange } from "../bytes/source-range.js";
import { EnvironmentError, MalformedInputError } from "../errors.js";
import { RunningChecksum } from "./checksum.js";
import { type HttpOptions, type HttpRequest, type HttpTarget, httpGet, statusError } from "./http.js";
import { patient, TransientError } from "./retry.js";

/** What is known of a file before it is read. */
export interface HttpFile {
  /** What to call it in messages. */
  readonly name: string;
  readonly url: string;
  readonly byteLength: number;
  /** What distinguishes its versions: an ETag, a date, a commit. */
  readonly version: string | undefined;
  /** The address names one version for ever, so that answers need not say which they are of. */
  readonly isPinned?: boolean | undefined;
  /** SHA-256 that the server says it has. */
  readonly claimedSha256?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly accessHint?: string | undefined;
}

/** What to call a file, and what to do if access is refused. */
type ShownFile = Pick<HttpFile, "name" | "accessHint">;

/** Bytes asked for at a time: what is lost with a connection is fetched again. */
const largestRange = 1 << 24;

/** A mistyped host should not take minutes to be reported. */
const attemptsToOpen = 4;

/** Statuses by which a server that we were redirected to says that its signed address is no longer good. */
const expired: ReadonlySet<number> = new Set([400, 401, 403, 404, 410]);

export class HttpSource implements ByteSource {
  readonly name: string;
  readonly byteLength: number;
  readonly remote: RemoteFile;
  #checksum: RunningChecksum | undefined;
  /** Where the last answer came from: saves the way over the redirect. */
  #direct: string | undefined;

  readonly #file: HttpFile;
  readonly #options: HttpOptions;

  constructor(file: HttpFile, options: HttpOptions = {}) {
    this.#file = file;
    this.#options = options;
    this.name = file.name;
    this.byteLength = file.byteLength;
    const { version, claimedSha256 } = file;
    this.remote = {
      version,
      claimedSha256,
      beginChecksum: () => {
        this.#checksum = this.#newChecksum();
      },
      sha256: async () => this.#checked(await (this.#checksum ?? this.#newChecksum()).digest()),
    };
  }

  /** The checksum of what was read, which must be what the server says it has. */
  #checked(sha256: string): string {
    const { name, claimedSha256 } = this.#file;
    if (claimedSha256 !== undefined && claimedSha256 !== sha256) {
      throw new MalformedInputError(
        `${name}: what was read has the SHA-256 ${sha256}, but the server says ${claimedSha256}; it is damaged there or was changed on its way: start again, or use another copy.`,
        { file: name, found: sha256, expected: claimedSha256 },
      );
    }
    return sha256;
  }

  /**
   * Opens an address by asking for one byte; `shown` is what to call it, and what to do if access is refused. Throws
   * an EnvironmentError if the server cannot be reached, refuses, has no such file or knows no ranges.
   */
  static async open(address: string, options: HttpOptions = {}, shown?: ShownFile): Promise<HttpSource> {
    return new HttpSource(await HttpSource.find(address, options, shown), options);
  }

  /** What `open` finds out. */
  static async find(
    address: string,
    options: HttpOptions = {},
    { name, accessHint }: ShownFile = { name: shownAddress(address) },
  ): Promise<HttpFile> {
    const request: HttpRequest = {
      name,
      accessHint,
      mostBytes: 1,
      target: () => ({ url: address, headers: { range: "bytes=0-0" } }),
      check: (response) => checkPartial(request, response),
    };
    const retry = options.retry ?? { ...patient, attempts: attemptsToOpen };
    const { headers } = await httpGet(request, { ...options, retry });
    const byteLength = contentRange(headers)?.total;
    if (byteLength === undefined) {
      throw new EnvironmentError(`${name}: the server does not say how long the file is; download it.`, {
        file: name,
      });
    }
    return { name, accessHint, url: address, byteLength, version: versionOf(headers) };
  }

  /** Throws an EnvironmentError if the bytes cannot be had, a MalformedInputError if the file is another by now. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this, offset, length);
    if (length === 0) {
      return new Uint8Array(0);
    }
    return this.#checksum ? await this.#checksum.read(offset, length) : await this.#fetch(offset, length);
  }

  async close(): Promise<void> {}

  #newChecksum(): RunningChecksum {
    return new RunningChecksum(this.byteLength, (offset, length) => this.#fetch(offset, length));
  }

  async #fetch(offset: number, length: number): Promise<Uint8Array> {
    const { recent } = this.#options;
    const { url, version } = this.#file;
    return recent
      ? await recent.read(`${url} ${version}`, offset, length, (from, count) =>
          this.#fetchRanges(from, count),
        )
      : await this.#fetchRanges(offset, length);
  }

  async #fetchRanges(offset: number, length: number): Promise<Uint8Array> {
    if (length <= largestRange) {
      return await this.#fetchRange(offset, length);
    }
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; done += largestRange) {
      bytes.set(await this.#fetchRange(offset + done, Math.min(largestRange, length - done)), done);
    }
    return bytes;
  }

  async #fetchRange(offset: number, length: number): Promise<Uint8Array> {
    const { name, accessHint } = this.#file;
    const last = offset + length - 1;
    const request: HttpRequest = {
      name,
      accessHint,
      mostBytes: length,
      target: () => this.#target(`bytes=${offset}-${last}`),
      check: (response) => this.#check(request, response, offset, last),
    };
    const { body, url } = await httpGet(request, this.#options);
    if (url !== "" && url !== this.#file.url) {
      this.#direct = url;
    }
    if (body.byteLength !== length) {
      throw new EnvironmentError(
        `${name}: the server sent ${body.byteLength} of ${length} bytes at ${offset}; download the file.`,
        { file: name, offset },
      );
    }
    return body;
  }

  #target(range: string): HttpTarget {
    const { url, headers } = this.#file;
    if (this.#direct === undefined) {
      return { url, headers: { ...headers, range } };
    }
    // A signed address needs no token, and another server must not see it.
    const isSameServer = new URL(this.#direct).origin === new URL(url).origin;
    return { url: this.#direct, headers: { ...(isSameServer && headers), range } };
  }

  /** Throws unless the answer is the wanted range of the file that was opened. */
  #check(request: HttpRequest, response: Response, first: number, last: number): void {
    const { name, byteLength, version, isPinned } = this.#file;
    if (this.#direct !== undefined && expired.has(response.status)) {
      this.#direct = undefined;
      throw new TransientError(`the redirected address has expired (status ${response.status})`);
    }
    checkPartial(request, response);
    const range = contentRange(response.headers);
    const isOther = range?.total !== undefined && range.total !== byteLength;
    if (isOther || (!isPinned && versionOf(response.headers) !== version)) {
      const now = isOther ? `${range.total} bytes` : (versionOf(response.headers) ?? "no version");
      const before = isOther ? `${byteLength} bytes` : (version ?? "no version");
      throw new MalformedInputError(
        `${name}: the file on the server changed while it was read (it was ${before}, now ${now}); start again.`,
        { file: name },
      );
    }
    if (range === undefined || range.first !== first || range.last !== last) {
      throw new EnvironmentError(
        `${name}: the server was asked for bytes ${first} to ${last} and sent "${response.headers.get("content-range")}"; use another server or download the file.`,
        { file: name, offset: first },
      );
    }
  }
}

function checkPartial(request: HttpRequest, response: Response): void {
  const { name } = request;
  const { status, headers } = response;
  if (status === 416 && headers.get("content-range") === "bytes */0") {
    throw new MalformedInputError(`${name}: is empty: it has 0 bytes.`, { file: name });
  }
  if (status === 200) {
    throw new EnvironmentError(
      `${name}: the server cannot send parts of a file (it ignores range requests); download it and name the local file.`,
      { file: name },
    );
  }
  if (status !== 206) {
    throw statusError(request, response);
  }
  const encoding = headers.get("content-encoding") ?? "identity";
  if (encoding !== "identity") {
    throw new EnvironmentError(
      `${name}: the server compresses what it sends (${encoding}), so ranges mean nothing; download the file.`,
      { file: name },
    );
  }
}

/** Bounds of a `Content-Range` header (RFC 9110, 14.4), the last inclusive; no total if the server does not say. */
function contentRange(headers: Headers) {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(headers.get("content-range") ?? "");
  if (!match) {
    return undefined;
  }
  const [, first, last, total] = match;
  return {
    first: Number(first),
    last: Number(last),
    total: total === "*" ? undefined : Number(total),
  };
}

/** A cache in between may weaken an ETag; the version is the same. */
function versionOf(headers: Headers): string | undefined {
  return headers.get("etag")?.replace(/^W\//, "") ?? headers.get("last-modified") ?? undefined;
}
