/** The routes. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Context, Hono } from "hono";
import type { z } from "zod";
import { Bodies } from "./bodies.js";
import { answerChat } from "./chat.js";
import { answerCompletion } from "./completions.js";
import { answerEmbedding } from "./embeddings.js";
import { ApiError, toApiError } from "./errors.js";
import { answerMessages, countSchema, countTokens, messagesError, messagesSchema } from "./messages.js";
import { loadPage } from "./page.js";
import { answerResponses, responsesSchema } from "./responses.js";
import { chatSchema, completionSchema, embeddingSchema, readBody } from "./schemas.js";
import { Access, type AccessOptions, keyCheck } from "./security.js";
import type { Caller, Service } from "./service.js";

export interface AppOptions extends AccessOptions {
  readonly apiKey?: string | undefined;
  /** Hears of failures that clients are not told about. */
  readonly onError: (error: unknown) => void;
}

interface Environment {
  /** Of @hono/node-server. */
  Bindings: { incoming?: IncomingMessage; outgoing?: ServerResponse };
}

/** Routes of a model's service. */
export function createApp(service: Service, options: AppOptions): Hono<Environment> {
  const app = new Hono<Environment>();
  const checkKey = options.apiKey === undefined ? () => {} : keyCheck(options.apiKey);
  const access = new Access(options);
  const bodies = new Bodies();

  app.use(async (context, next) => {
    await next();
    const route = context.req.routePath;
    service.metrics.requests.inc({ route: route === "/*" ? "other" : route, status: context.res.status });
  });
  app.use(async (context, next) => {
    const origin = context.req.header("origin");
    access.check({ origin, host: context.req.header("host") });
    const isAllowed = origin !== undefined && access.allowsOrigin(origin);
    if (isAllowed && context.req.method === "OPTIONS") {
      return new Response(null, { status: 204, headers: corsHeaders(origin) });
    }
    await next();
    if (isAllowed) {
      for (const [name, value] of Object.entries(corsHeaders(origin))) {
        context.res.headers.set(name, value);
      }
    }
    return undefined;
  });
  app.onError((error, context) => {
    const isMessages = context.req.path.startsWith("/v1/messages");
    return respond(toApiError(error), options.onError, isMessages ? messagesError : undefined);
  });
  app.notFound((context) =>
    respond(
      new ApiError(404, `there is no ${context.req.method} ${context.req.path.slice(0, 200)} here.`),
      options.onError,
    ),
  );

  const page = loadPage();
  app.get("/", (context) => context.body(page.html, 200, page.headers));
  app.get("/health", () => {
    const { isReady, isResponsive } = service.generator;
    if (!isReady) {
      throw new ApiError(503, "the model is being loaded.", { code: "loading", retryAfter: 1 });
    }
    if (!isResponsive) {
      throw new ApiError(503, "the model's process does not answer.", {
        code: "engine_unresponsive",
        retryAfter: 5,
      });
    }
    return Response.json({ status: "ok" });
  });

  app.use("/metrics", guard);
  app.use("/v1/*", guard);
  async function guard(context: Context<Environment>, next: () => Promise<void>): Promise<void> {
    const { req } = context;
    checkKey({ authorization: req.header("authorization"), xApiKey: req.header("x-api-key") });
    await next();
  }
  app.get("/metrics", async (context) =>
    context.text(await service.metrics.text(), 200, { "content-type": service.metrics.contentType }),
  );
  app.get("/v1/models", async (context) => context.json({ object: "list", data: [await describe(service)] }));
  app.get("/v1/models/:model{.+}", async (context) => {
    service.checkModel(context.req.param("model"));
    return context.json(await describe(service));
  });
  post("/v1/chat/completions", chatSchema, answerChat);
  post("/v1/completions", completionSchema, answerCompletion);
  post("/v1/embeddings", embeddingSchema, answerEmbedding);
  post("/v1/responses", responsesSchema, answerResponses);
  post("/v1/messages", messagesSchema, answerMessages);
  post("/v1/messages/count_tokens", countSchema, countTokens);
  return app;

  function post<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    answer: (service: Service, body: z.infer<Schema>, caller: Caller) => Promise<Response>,
  ): void {
    app.post(path, async (context) => {
      const caller = callerOf(context);
      const { text, release } = await bodies.read(context.req.raw, caller.client);
      // What a body became is held until its answer is sent, or until the client is gone.
      const outgoing = context.env?.outgoing;
      outgoing?.once("close", release);
      try {
        return await answer(service, readBody(schema, text), caller);
      } finally {
        if (outgoing === undefined) {
          release();
        }
      }
    });
  }
}

/** Clients are told apart by their address; one key is all there is. */
function callerOf(context: Context<Environment>): Caller {
  return { client: context.env?.incoming?.socket.remoteAddress ?? "", signal: context.req.raw.signal };
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

/** What lets a browser show pages of an origin the answers. */
function corsHeaders(origin: string): Record<string, string> {
  return {
    "access-control-allow-origin": origin,
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "*, authorization",
    "access-control-max-age": "600",
    vary: "origin",
  };
}

function respond(
  error: ApiError,
  onError: (error: unknown) => void,
  shape: (error: ApiError) => object = (each) => each.toJSON(),
): Response {
  if (error.status === 500) {
    onError(error.cause ?? error);
  }
  const headers = new Headers();
  if (error.retryAfter !== undefined) {
    headers.set("retry-after", String(error.retryAfter));
  }
  // The rest of the body may not have been read, so that the connection cannot be used again.
  if (error.status === 413 || error.code === "server_busy") {
    headers.set("connection", "close");
  }
  return Response.json(shape(error), { status: error.status, headers });
}
