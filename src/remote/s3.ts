/**
 * Public objects in S3, and in what speaks its language: `s3://bucket/path/model.gguf`, `s3://bucket/path` of a
 * folder. Requests are not signed; an object that is not public has a presigned https address.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
 */
import { hasCredentials, shownAddress } from "../bytes/address.js";
import type { Folder } from "../bytes/folder.js";
import { isInside } from "../bytes/inside.js";
import { quoted } from "../bytes/quoted.js";
import type { ByteSource } from "../bytes/source.js";
import { EnvironmentError, UsageError } from "../errors.js";
import { type HttpOptions, httpGet } from "./http.js";
import { HttpSource } from "./http-source.js";

export interface S3Address {
  readonly bucket: string;
  /** Of an object, or what those of a folder begin with; empty for the bucket itself. */
  readonly key: string;
}

/** Longest answer to a question for names (a page of 1000 has at most 1 MB), and most pages. */
const mostAnswerBytes = 1 << 24;
const mostPages = 100;

const accessHint =
  "only public objects are read so; give the https address that `aws s3 presign` makes for others.";

/** Parts of an address; a slash at the end does not matter. Throws a UsageError that says the form. */
export function parseS3Address(address: string): S3Address {
  const [, bucket, key = ""] =
    /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*?))?\/?$/s.exec(address) ?? [];
  if (bucket === undefined || (key !== "" && !isInside(key))) {
    const shown = shownAddress(address);
    throw new UsageError(`${shown}: is not of the form s3://bucket/path/model.gguf or s3://bucket/path.`, {
      model: shown,
    });
  }
  return { bucket, key };
}

/** Opens an object. Throws an EnvironmentError if there is none, or it is not public. */
export async function openS3Object({ bucket, key }: S3Address, options: HttpOptions): Promise<HttpSource> {
  const name = `s3://${bucket}/${key}`;
  return await HttpSource.open(objectUrl({ bucket, key }), options, { name, accessHint });
}

/** Objects whose keys begin alike, as a folder. */
export class S3Folder implements Folder {
  readonly name: string;
  readonly #address: S3Address;
  readonly #options: HttpOptions;
  readonly #listings = new Map<string, Promise<readonly string[]>>();

  constructor(address: S3Address, options: HttpOptions) {
    this.#address = address;
    this.#options = options;
    this.name = `s3://${[address.bucket, ...(address.key === "" ? [] : [address.key])].join("/")}`;
  }

  /** Throws an EnvironmentError if the bucket cannot be listed. */
  async list(subfolder = ""): Promise<readonly string[]> {
    const known = this.#listings.get(subfolder) ?? this.#fetchNames(subfolder);
    this.#listings.set(subfolder, known);
    return await known;
  }

  async open(file: string): Promise<ByteSource | undefined> {
    const at = file.lastIndexOf("/");
    const names = await this.list(file.slice(0, Math.max(0, at)));
    if (!isInside(file) || !names.includes(file.slice(at + 1))) {
      return undefined;
    }
    const key = [...(this.#address.key === "" ? [] : [this.#address.key]), file].join("/");
    return await openS3Object({ bucket: this.#address.bucket, key }, this.#options);
  }

  async #fetchNames(subfolder: string): Promise<readonly string[]> {
    const { bucket, key } = this.#address;
    const prefix = [key, subfolder, ""].filter((part, at) => part !== "" || at === 2).join("/");
    const names: string[] = [];
    let token: string | undefined;
    for (let page = 0; page < mostPages; page++) {
      const question = new URLSearchParams({ "list-type": "2", delimiter: "/", "encoding-type": "url" });
      question.set("prefix", prefix === "/" ? "" : prefix);
      if (token !== undefined) {
        question.set("continuation-token", token);
      }
      const url = `${objectUrl({ bucket, key: "" })}?${question}`;
      const request = { name: this.name, target: () => ({ url }), mostBytes: mostAnswerBytes, accessHint };
      const { body } = await httpGet(request, this.#options);
      const answer = new TextDecoder().decode(body);
      names.push(...this.#namesIn(answer, question.get("prefix") ?? ""));
      token = textOf("NextContinuationToken", answer);
      if (token === undefined) {
        return names.sort();
      }
    }
    throw new EnvironmentError(
      `${this.name}: the server's list of objects does not end (more than ${mostPages} pages); name a folder of one model.`,
      { file: this.name },
    );
  }

  /** A server may be hostile too: what it lists must lie in the folder that it was asked for. */
  #namesIn(answer: string, prefix: string): readonly string[] {
    return [...answer.matchAll(/<Contents>(.*?)<\/Contents>/gs)].flatMap(([, contents = ""]) => {
      const key = decodeKey(textOf("Key", contents) ?? "");
      const name = key.startsWith(prefix) ? key.slice(prefix.length) : undefined;
      // Some programs keep an empty object for the folder itself.
      if (name === "") {
        return [];
      }
      if (name === undefined || name.includes("/") || !isInside(name)) {
        throw new EnvironmentError(
          `${this.name}: the server lists ${quoted(key)} in ${quoted(prefix)}; check AWS_ENDPOINT_URL.`,
          { file: this.name },
        );
      }
      return [name];
    });
  }
}

/** Bucket and key behind the server's address, which every server understands. */
function objectUrl({ bucket, key }: S3Address): string {
  const region = process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || "us-east-1";
  const given = process.env.AWS_ENDPOINT_URL_S3 || process.env.AWS_ENDPOINT_URL;
  const endpoint = given || `https://s3.${region}.amazonaws.com`;
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint) || hasCredentials(endpoint)) {
    throw new UsageError(
      `${given ? "AWS_ENDPOINT_URL" : "AWS_REGION"}: ${quoted(shownAddress(endpoint))} is not the address of a server; correct it.`,
    );
  }
  const path = [bucket, ...key.split("/")].map(encodeURIComponent).join("/");
  return `${endpoint.replace(/\/+$/, "")}/${path}`;
}

/** The text of the first element of this name; undefined if there is none. */
function textOf(element: string, xml: string): string | undefined {
  const text = new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml)?.[1];
  return text
    ?.replace(/&lt;/g, "<")
    .replace(/&gt;/g, ">")
    .replace(/&quot;/g, '"')
    .replace(/&apos;/g, "'")
    .replace(/&amp;/g, "&");
}

/** A key as it is listed: percent-encoded, a blank as a plus sign. */
function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}
