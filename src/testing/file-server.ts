/** A web server on the loopback interface that has files, answers range requests, and fails as it is told. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { testCertificate, testKey } from "./tls.js";

/** What becomes of a request: a status instead of the file, or an answer that breaks off. */
export type Fault =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  | "drop"
  | "truncate"
  | "stall"
  | "ignore-range"
  | "wrong-range";

export interface ServedRequest {
  readonly path: string;
  readonly query: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  /** Counted from 0. */
  readonly index: number;
}

export class FileServer {
  readonly files: Map<string, Uint8Array> = new Map();
  readonly requests: ServedRequest[] = [];
  /** Bytes of files sent in answers that were meant to be whole. */
  bytesSent = 0;
  fault: (request: ServedRequest) => Fault | undefined = () => undefined;
  etag: (path: string, bytes: Uint8Array) => string | undefined = (_, bytes) => `"${sha256(bytes)}"`;
  readonly #server: Server;
  readonly #scheme: string;

  private constructor(isSecure: boolean) {
    const listener = (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response);
    this.#scheme = isSecure ? "https" : "http";
    this.#server = isSecure
      ? createSecureServer({ key: testKey, cert: testCertificate }, listener)
      : createServer(listener);
  }

  /** Starts a server that ends with the test `t`. */
  static async start(
    t: { after(cleanUp: () => Promise<void>): void },
    files: Readonly<Record<string, Uint8Array | string>> = {},
    { isSecure = false } = {},
  ): Promise<FileServer> {
    const server = new FileServer(isSecure);
    for (const [path, content] of Object.entries(files)) {
      server.files.set(path, Buffer.from(content));
    }
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.#stop());
    return server;
  }

  get address(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, search } = new URL(request.url ?? "/", this.address);
    const served: ServedRequest = {
      path: decodeURIComponent(pathname),
      query: search,
      range: request.headers.range,
      authorization: request.headers.authorization,
      index: this.requests.length,
    };
    this.requests.push(served);
    const fault = this.fault(served);
    if (fault === "drop") {
      response.destroy();
    } else if (typeof fault === "object") {
      response.writeHead(fault.status, fault.headers).end(fault.body);
    } else if (fault !== "stall") {
      this.#sendFile(served, fault, response);
    }
  }

  #sendFile({ path, range }: ServedRequest, fault: Fault | undefined, response: ServerResponse): void {
    const bytes = this.files.get(path);
    if (bytes === undefined) {
      response.writeHead(404, { "content-type": "text/html" }).end("<h1>not found</h1>");
      return;
    }
    const etag = this.etag(path, bytes);
    if (etag !== undefined) {
      response.setHeader("etag", etag);
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
    if (first === undefined || fault === "ignore-range") {
      response.writeHead(200, { "content-length": bytes.byteLength }).end(bytes);
      return;
    }
    const start = Number(first) + (fault === "wrong-range" ? 1 : 0);
    const part = bytes.subarray(start, Number(last) + 1);
    response.writeHead(206, {
      "content-length": part.byteLength,
      "content-range": `bytes ${start}-${Number(last)}/${bytes.byteLength}`,
    });
    if (fault === "truncate") {
      response.write(part.subarray(0, Math.floor(part.byteLength / 2)), () => response.destroy());
      return;
    }
    this.bytesSent += part.byteLength;
    response.end(part);
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Retries without waiting. */
export const impatient = { attempts: 5, firstWaitMs: 1, longestWaitMs: 5 };
