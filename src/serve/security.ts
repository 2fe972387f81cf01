/** Who may use the server. */
import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { ApiError } from "./errors.js";

const digest = (text: string) => createHash("sha256").update(text).digest();

/** Headers that can have the key: OpenAI's clients send the first, Anthropic's the second. */
export interface KeyHeaders {
  readonly authorization: string | undefined;
  readonly xApiKey: string | undefined;
}

/** A check of the key in the headers, in constant time: digests of equal length are compared. */
export function keyCheck(key: string): (headers: KeyHeaders) => void {
  const expected = digest(key);
  return ({ authorization, xApiKey }) => {
    const bearer = /^Bearer\s+(.*)$/i.exec(authorization ?? "")?.[1];
    const given = [bearer, xApiKey].filter((each) => each !== undefined);
    if (given.some((each) => timingSafeEqual(digest(each), expected))) {
      return;
    }
    const isMissing = authorization === undefined && xApiKey === undefined;
    const what = isMissing ? "no API key was given" : "the API key is wrong";
    throw new ApiError(
      401,
      `${what}; send the server's as "Authorization: Bearer KEY" or as "x-api-key: KEY".`,
      { type: "authentication_error", code: "invalid_api_key" },
    );
  };
}

export interface AccessOptions {
  /** Address or name that the server listens on. */
  readonly host: string;
  /** Further names that requests may be for; `*` for all. */
  readonly allowHosts?: readonly string[] | undefined;
  /** Origins whose pages may use the server (`https://app.example`, `vscode-webview://*`, `*`). */
  readonly allowOrigins?: readonly string[] | undefined;
}

/**
 * Refuses requests that a web page of someone else makes in the user's browser: those whose origin is another, and
 * those for a name that someone else made to point here.
 */
export class Access {
  readonly #hosts: ReadonlySet<string>;
  readonly #allowsAllHosts: boolean;
  readonly #origins: readonly string[];

  constructor({ host, allowHosts = [], allowOrigins = [] }: AccessOptions) {
    const own = hostname().toLowerCase();
    const names = ["localhost", host, own, `${own}.local`, ...allowHosts];
    this.#hosts = new Set(names.map((name) => name.toLowerCase()));
    this.#allowsAllHosts = allowHosts.includes("*");
    this.#origins = allowOrigins;
  }

  /** Throws an ApiError that names the option which would allow the request. */
  check({ origin, host }: { origin: string | undefined; host: string | undefined }): void {
    if (origin !== undefined && hostOf(origin) !== host && !this.allowsOrigin(origin)) {
      throw forbidden(`the request comes from a page of ${origin}`, `--allow-origin ${origin}`);
    }
    if (host !== undefined && !this.#allowsHost(host)) {
      throw forbidden(`the request is for ${host}`, `--allow-host ${nameOf(host)}`);
    }
  }

  /** Whether an origin is among those that were named. */
  allowsOrigin(origin: string): boolean {
    return this.#origins.some((allowed) =>
      allowed.endsWith("*") ? origin.startsWith(allowed.slice(0, -1)) : origin === allowed,
    );
  }

  #allowsHost(host: string): boolean {
    const name = nameOf(host);
    return this.#allowsAllHosts || isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0 || this.#hosts.has(name);
  }
}

function forbidden(what: string, option: string): ApiError {
  return new ApiError(
    403,
    `${what}; web pages of others may not use this server, unless it runs with ${option}.`,
    {
      code: "forbidden_origin",
    },
  );
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

/** A host without its port. */
function nameOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : "";
}
