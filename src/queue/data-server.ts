/** Where workers get data and bring results: HTTP on one address, for holders of the token alone. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Context, Hono } from "hono";
import { FileSource } from "../bytes/source.js";
import { EnvironmentError, systemErrorCode } from "../errors.js";
import { type ListenAddress, listenUrl } from "./listen-address.js";
import type { QueueMetrics } from "./metrics.js";
import { bodyHeader, isAuthorized, outcomeHeader, type ResultOutcome, workerHeader } from "./requests.js";
import { sha256 } from "./seal.js";

/** A result that a worker brings. */
export interface ResultDelivery {
  readonly id: string;
  readonly outcome: ResultOutcome;
  readonly body: Uint8Array;
  /** Who it is, for people to read. */
  readonly worker: string;
}

/** What the server gives and takes. */
export interface DataHost {
  /** Bytes of this SHA-256; undefined if there are none such (any more). */
  data(hash: string): Promise<Uint8Array | undefined>;
  /** Path of the file of this SHA-256; undefined if there is none such. */
  file(hash: string): string | undefined;
  /** Most bytes that a job's result has; undefined if the job waits for none (any more). */
  mostBytes(id: string): number | undefined;
  /** Takes a result. Throws if it cannot be the job's. */
  deliver(delivery: ResultDelivery): void;
}

/** Headers must be there within this time, in milliseconds. */
const headersTimeoutMs = 20_000;
const mostConnections = 8192;

/** Most bytes of a file in one answer, since they are in memory. */
const mostFileBytes = 1 << 26;

/** A server that listens. */
export class DataServer {
  readonly #http: Server;
  readonly url: string;

  private constructor(http: Server, url: string) {
    this.#http = http;
    this.url = url;
  }

  /** Listens. Throws an EnvironmentError if that is not possible there. */
  static async open(
    address: ListenAddress,
    token: string,
    host: DataHost,
    metrics: QueueMetrics,
  ): Promise<DataServer> {
    const app = routes(token, host, metrics);
    const http = createServer(
      { headersTimeout: headersTimeoutMs, requestTimeout: 0, keepAliveTimeout: 30_000 },
      getRequestListener(app.fetch, { overrideGlobalObjects: false }),
    );
    http.maxConnections = mostConnections;
    http.listen(address.port, address.host);
    try {
      await once(http, "listening");
    } catch (cause) {
      throw new EnvironmentError(
        `${listenUrl(address)}: cannot be listened on (${systemErrorCode(cause)}); choose another address with \`listen\`.`,
        {},
        { cause },
      );
    }
    const { port } = http.address() as AddressInfo;
    const isEverywhere = address.host === "0.0.0.0" || address.host === "::";
    return new DataServer(http, listenUrl({ host: isEverywhere ? hostname() : address.host, port }));
  }

  async close(): Promise<void> {
    this.#http.close();
    this.#http.closeAllConnections();
    await once(this.#http, "close").catch(() => {});
  }
}

type Routes = { Bindings: HttpBindings };

function routes(token: string, host: DataHost, metrics: QueueMetrics): Hono<Routes> {
  const app = new Hono<Routes>();
  app.use(async (context, next) => {
    const { method, path } = context.req;
    if (!isAuthorized(token, method, path, (name) => context.req.header(name))) {
      metrics.refusals.inc();
      return context.text("another token\n", 401, { "www-authenticate": "Bearer" });
    }
    return await next();
  });
  app.get("/metrics", async (context) =>
    context.body(await metrics.text(), 200, { "content-type": metrics.contentType }),
  );
  const answer = (context: Context<Routes>, bytes: Uint8Array | undefined) => {
    if (bytes === undefined) {
      return context.text("not wanted any more\n", 404);
    }
    metrics.sentBytes.inc(bytes.byteLength);
    // As it lies there: a Response would take a copy, and nothing from shared memory.
    context.env.outgoing.writeHead(200, {
      "content-type": "application/octet-stream",
      "content-length": bytes.byteLength,
    });
    context.env.outgoing.end(bytes);
    return RESPONSE_ALREADY_SENT;
  };
  app.get("/data/:hash", async (context) => answer(context, await host.data(context.req.param("hash"))));
  app.get("/files/:hash/:range{\\d{1,15}\\+\\d{1,9}}", async (context) => {
    const path = host.file(context.req.param("hash"));
    const [offset = 0, length = 0] = context.req.param("range").split("+").map(Number);
    if (length > mostFileBytes) {
      return context.text("too much at once\n", 413);
    }
    try {
      return answer(context, path === undefined ? undefined : await readRange(path, offset, length));
    } catch {
      // Where it lies here is nobody's business.
      return context.text("the file is not what it was when the run began\n", 409);
    }
  });
  app.put("/results/:id", async (context) => {
    const id = context.req.param("id");
    const mostBytes = host.mostBytes(id);
    if (mostBytes === undefined) {
      return context.text("not wanted any more\n", 410);
    }
    const length = Number(context.req.header("content-length") ?? Number.NaN);
    if (!(length <= mostBytes)) {
      return context.text("too long\n", 413);
    }
    const body = new Uint8Array(await context.req.arrayBuffer());
    if (body.byteLength !== length || sha256(body) !== context.req.header(bodyHeader)) {
      return context.text("damaged on the way\n", 422);
    }
    metrics.receivedBytes.inc(length);
    const outcome = context.req.header(outcomeHeader) === "error" ? "error" : "done";
    host.deliver({ id, outcome, body, worker: shown(context.req.header(workerHeader)) });
    return context.body(null, 204);
  });
  app.notFound((context) => context.text("no such thing\n", 404));
  app.onError((error, context) => context.text(`${error.message}\n`, 400));
  return app;
}

async function readRange(path: string, offset: number, length: number): Promise<Uint8Array> {
  const source = await FileSource.open(path);
  try {
    return await source.read(offset, length);
  } finally {
    await source.close();
  }
}

/** A name as it may stand in a message or a metric. */
function shown(name: string | undefined): string {
  return (name ?? "").replace(/[^\w.:-]/g, "").slice(0, 80) || "unnamed";
}
