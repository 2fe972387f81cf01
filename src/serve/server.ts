/** A model behind an address: loads it, listens, stops. */
import { once } from "node:events";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import { getRequestListener } from "@hono/node-server";
import { EnvironmentError, systemErrorCode } from "../errors.js";
import { ChatTemplate, chatTemplateOf } from "../generate/chat-template.js";
import { Generator, type GeneratorOptions } from "../generate/generator.js";
import type { SamplingOptions } from "../generate/sampler.js";
import { openModel } from "../model/open.js";
import { createApp } from "./app.js";
import { limitConnections } from "./connections.js";
import { checkExposure } from "./exposure.js";
import { Service } from "./service.js";

export interface ServeOptions extends Omit<GeneratorOptions, "engine"> {
  /** Address to listen on; 127.0.0.1, which only this machine can reach, by default. */
  readonly host?: string | undefined;
  /** 8080 by default; 0 for any that is free. */
  readonly port?: number | undefined;
  /** Key that clients must send; none by default, which is refused if other machines can reach the server. */
  readonly apiKey?: string | undefined;
  /** Let everyone who can reach the server use it without a key. */
  readonly withoutKey?: boolean | undefined;
  /** Names besides its own that requests may be for (`host.docker.internal`); `*` for all. */
  readonly allowHosts?: readonly string[] | undefined;
  /** Origins of web pages that may use the server (`https://app.example`, `vscode-webview://*`); `*` for all. */
  readonly allowOrigins?: readonly string[] | undefined;
  /** Name under which the model is offered; its file's by default. */
  readonly alias?: string | undefined;
  /** How tokens are chosen for requests that do not say. */
  readonly sampling?: Partial<SamplingOptions> | undefined;
  /** Answers that may wait for their turn; 256 by default. */
  readonly queueLength?: number | undefined;
  /** Stops the loading. */
  readonly signal?: AbortSignal | undefined;
  /** Hears of what goes wrong. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

const defaultHost = "127.0.0.1";
const defaultPort = 8080;
const defaultQueueLength = 256;

/** Time for the headers and for all of a request, in milliseconds. */
const headersTimeoutMs = 20_000;
const requestTimeoutMs = 120_000;

/** A running server. */
export interface RunningServer {
  /** `http://127.0.0.1:8080` */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly modelId: string;
  readonly generator: Generator;
  /** Refuses new answers, lets those that are being written finish, and frees the model. */
  stop(): Promise<void>;
}

/**
 * Loads a model and serves it.
 * Throws what loading throws; a UsageError if everyone could use it and that is not wanted; an EnvironmentError if
 * the address cannot be listened on.
 */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { path } = options.model;
  const warn = options.onWarning ?? (() => {});
  const { apiKey, withoutKey = false, host = defaultHost } = options;
  await checkExposure({ host, apiKey, withoutKey });
  const template = await readTemplate(path);
  const generator = new Generator({
    ...options,
    onCrash: (error) => {
      service.metrics.crashes.inc();
      warn(error.message);
      options.onCrash?.(error);
      generator.ready().catch((reason: Error) => warn(`the model cannot be loaded again: ${reason.message}`));
    },
  });
  const modelId = options.alias ?? nameOf(path);
  const service = new Service({
    generator,
    template,
    modelId,
    sampling: options.sampling,
    queueLength: options.queueLength ?? defaultQueueLength,
  });
  const release = async () => {
    if (template instanceof ChatTemplate) template.close();
    await generator.close();
  };
  try {
    const stopLoading = () => void release();
    options.signal?.addEventListener("abort", stopLoading, { once: true });
    await generator.ready();
    options.signal?.removeEventListener("abort", stopLoading);
    const http = await listen(service, options, host, warn);
    const { port } = http.address() as AddressInfo;
    const shownHost = host.includes(":") ? `[${host}]` : host;
    return {
      url: `http://${shownHost}:${port}`,
      host,
      port,
      modelId,
      generator,
      async stop() {
        service.stopAdmitting();
        await closeHttp(http);
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

async function listen(
  service: Service,
  options: ServeOptions,
  host: string,
  warn: (message: string) => void,
): Promise<HttpServer> {
  const app = createApp(service, {
    apiKey: options.apiKey,
    host,
    allowHosts: options.allowHosts,
    allowOrigins: options.allowOrigins,
    onError: (error) => warn(error instanceof Error ? (error.stack ?? error.message) : String(error)),
  });
  const http = createServer(
    { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
    getRequestListener(app.fetch, { overrideGlobalObjects: false }),
  );
  limitConnections(http);
  const port = options.port ?? defaultPort;
  http.listen(port, host);
  try {
    await once(http, "listening");
  } catch (cause) {
    const reason =
      systemErrorCode(cause) === "EADDRINUSE"
        ? "another program listens there; choose another --port"
        : (cause as Error).message;
    throw new EnvironmentError(
      `${host}:${port} cannot be listened on: ${reason}.`,
      { host, port },
      { cause },
    );
  }
  return http;
}

/** Stops listening, and waits until all responses are sent; connections that clients keep are closed then. */
async function closeHttp(http: HttpServer): Promise<void> {
  const closed = once(http, "close");
  http.close();
  const closeIdle = setInterval(() => http.closeIdleConnections(), 50);
  await closed;
  clearInterval(closeIdle);
}

/** The model's chat template, or why it has none. */
async function readTemplate(path: string): Promise<ChatTemplate | Error> {
  const model = await openModel(path);
  try {
    return new ChatTemplate(chatTemplateOf(model.metadata, model.name));
  } catch (error) {
    return error as Error;
  } finally {
    await model.close();
  }
}

/** The file's name without `.gguf` and the number of its part. */
function nameOf(path: string): string {
  return basename(path).replace(/(-\d{5}-of-\d{5})?\.gguf$/, "");
}
