/** The routes. */
import type { IncomingMessage } from "node:http";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { answerChat } from "./chat.js";
import { answerCompletion } from "./completions.js";
import { answerEmbedding } from "./embeddings.js";
import { ApiError, toApiError } from "./errors.js";
import { loadPage } from "./page.js";
import { chatSchema, completionSchema, embeddingSchema, readBody } from "./schemas.js";
import { checkOrigin, keyCheck } from "./security.js";
import type { Caller, Service } from "./service.js";

/** Bytes of a body at most: some hundred thousand tokens of text. */
export const MOST_BODY_BYTES = 8 * 2 ** 20;

export interface AppOptions {
  readonly apiKey?: string | undefined;
  /** Whether the server listens to this machine only. */
  readonly isLocal: boolean;
  /** Hears of failures that clients are not told about. */
  readonly onError: (error: unknown) => void;
}

interface Environment {
  /** Of @hono/node-server. */
  Bindings: { incoming?: IncomingMessage };
}

/** Routes of a model's service. */
export function createApp(service: Service, options: AppOptions): Hono<Environment> {
  const app = new Hono<Environment>();
  const checkKey = options.apiKey === undefined ? () => {} : keyCheck(options.apiKey);

  app.use(async (context, next) => {
    await next();
    const route = context.req.routePath;
    service.metrics.requests.inc({ route: route === "/*" ? "other" : route, status: context.res.status });
  });
  app.use(async (context, next) => {
    checkOrigin({ origin: context.req.header("origin"), host: context.req.header("host") }, options.isLocal);
    await next();
  });
  app.use(
    bodyLimit({
      maxSize: MOST_BODY_BYTES,
      onError: () => {
        throw new ApiError(413, `the body is larger than the ${MOST_BODY_BYTES} bytes that are allowed.`, {
          code: "body_too_large",
        });
      },
    }),
  );
  app.onError((error) => respond(toApiError(error), options.onError));
  app.notFound((context) =>
    respond(
      new ApiError(404, `there is no ${context.req.method} ${context.req.path} here.`),
      options.onError,
    ),
  );

  const page = loadPage();
  app.get("/", (context) => context.body(page.html, 200, page.headers));
  app.get("/health", (context) =>
    service.generator.isReady
      ? context.json({ status: "ok" })
      : respond(new ApiError(503, "the model is being loaded.", { code: "loading", retryAfter: 1 })),
  );

  app.use("/metrics", guard);
  app.use("/v1/*", guard);
  async function guard(context: Context<Environment>, next: () => Promise<void>): Promise<void> {
    checkKey(context.req.header("authorization"));
    await next();
  }
  app.get("/metrics", async (context) =>
    context.text(await service.metrics.text(), 200, { "content-type": service.metrics.contentType }),
  );
  app.get("/v1/models", async (context) => context.json({ object: "list", data: [await describe(service)] }));
  app.get("/v1/models/:model{.+}", async (context) => {
    service.checkAdmission(context.req.param("model"), 0);
    return context.json(await describe(service));
  });
  app.post("/v1/chat/completions", async (context) =>
    answerChat(service, readBody(chatSchema, await context.req.text()), callerOf(context)),
  );
  app.post("/v1/completions", async (context) =>
    answerCompletion(service, readBody(completionSchema, await context.req.text()), callerOf(context)),
  );
  app.post("/v1/embeddings", async (context) =>
    answerEmbedding(service, readBody(embeddingSchema, await context.req.text()), callerOf(context)),
  );
  return app;
}

/** Clients are told apart by their address; one key is all there is. */
function callerOf(context: Context<Environment>): Caller {
  return { client: context.env.incoming?.socket.remoteAddress ?? "", signal: context.req.raw.signal };
}

async function describe(service: Service): Promise<object> {
  const { generator, modelId, startedAt } = service;
  const facts = await generator.facts();
  return {
    id: modelId,
    object: "model",
    created: startedAt,
    owned_by: "lopsided",
    meta: {
      architecture: facts.architecture,
      n_ctx: await generator.contextLength(),
      n_ctx_train: facts.trainedContextLength,
      n_embd: facts.outputLength,
      n_params: facts.parameters,
      n_vocab: facts.vocabularySize,
      size: facts.weightsBytes,
      slots: generator.slots,
    },
  };
}

function respond(error: ApiError, onError?: (error: unknown) => void): Response {
  if (error.status === 500) onError?.(error.cause ?? error);
  const headers = new Headers();
  if (error.retryAfter !== undefined) headers.set("retry-after", String(error.retryAfter));
  // The rest of the body is not read, so that the connection cannot be used again.
  if (error.status === 413) headers.set("connection", "close");
  return Response.json(error, { status: error.status, headers });
}
