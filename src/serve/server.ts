/** A model behind an address: loads it, listens, stops. */
import { once } from "node:events";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import { getRequestListener } from "@hono/node-server";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { EnvironmentError, systemErrorCode } from "../errors.js";
import { ChatTemplate, chatTemplateOf } from "../generate/chat-template.js";
import { Generator } from "../generate/generator.js";
import { generatorFor, samplingFor } from "../generate/generator-options.js";
import { openModel } from "../model/open.js";
import { createApp } from "./app.js";
import { limitConnections } from "./connections.js";
import { checkExposure } from "./exposure.js";
import { type ServeOptions, serveCommand } from "./serve-command.js";
import { Service } from "./service.js";

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
export async function serve(given: ServeOptions): Promise<RunningServer> {
  const options = serveCommand.read(given);
  const { model: path, host, pooling } = options;
  const warn = options.onWarning ?? (() => {});
  const apiKey = options.apiKey === false ? undefined : options.apiKey;
  await checkExposure({ host, apiKey, withoutKey: options.apiKey === false });
  const template = await readTemplate(path);
  const generator = new Generator({
    ...generatorFor(options, options.parallel),
    pooling,
    onCrash: (error) => {
      service.metrics.crashes.inc();
      warn(error.message);
      generator.ready().catch((reason: Error) => warn(`the model cannot be loaded again: ${reason.message}`));
    },
  });
  const modelId = options.alias ?? nameOf(path);
  const service = new Service({
    generator,
    template,
    modelId,
    sampling: samplingFor(options),
    queueLength: options.queue,
  });
  const release = async () => {
    if (template instanceof ChatTemplate) {
      template.close();
    }
    await generator.close();
  };
  try {
    const stopLoading = () => void release();
    options.signal?.addEventListener("abort", stopLoading, { once: true });
    await generator.ready();
    options.signal?.removeEventListener("abort", stopLoading);
    const http = await listen(service, options, apiKey, warn);
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
  { host, port, allowHost, allowOrigin }: ResolvedOptionsOf<typeof serveCommand>,
  apiKey: string | undefined,
  warn: (message: string) => void,
): Promise<HttpServer> {
  const app = createApp(service, {
    apiKey,
    host,
    allowHosts: allowHost,
    allowOrigins: allowOrigin,
    onError: (error) => warn(error instanceof Error ? (error.stack ?? error.message) : String(error)),
  });
  const http = createServer(
    { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
    getRequestListener(app.fetch, { overrideGlobalObjects: false }),
  );
  limitConnections(http);
  http.listen(port, host);
  try {
    await once(http, "listening");
  } catch (cause) {
    const reason =
      systemErrorCode(cause) === "EADDRINUSE"
        ? "another program listens there; choose another `port`"
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
