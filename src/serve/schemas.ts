/** Bodies of requests: OpenAI's fields, and llama-server's where OpenAI has none. */
import { z } from "zod";
import { UsageError } from "../errors.js";
import { parseBoundedJson } from "../generate/bounded-json.js";
import { ApiError } from "./errors.js";

/** Tokens of OpenAI's completions if the request does not say. */
const defaultCompletionTokens = 16;

const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((value) => value ?? undefined);

const sampling = {
  temperature: optional(z.number().min(0).max(100)),
  top_p: optional(z.number().min(0).max(1)),
  top_k: optional(z.int().min(0)),
  min_p: optional(z.number().min(0).max(1)),
  seed: optional(z.int().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER)),
  frequency_penalty: optional(z.number().min(-2).max(2)),
  presence_penalty: optional(z.number().min(-2).max(2)),
  logit_bias: optional(
    z.record(z.string().regex(/^\d+$/, "names are token numbers"), z.number().min(-100).max(100)),
  ),
};

const common = {
  model: optional(z.string()),
  n: optional(z.int().min(1)).transform((n) => n ?? 1),
  stop: optional(
    z.union([z.string().min(1).max(1000), z.array(z.string().min(1).max(1000)).max(16)]),
  ).transform((stop) => (typeof stop === "string" ? [stop] : stop)),
  stream: optional(z.boolean()).transform((stream) => stream ?? false),
  stream_options: optional(z.object({ include_usage: optional(z.boolean()) })),
  ...sampling,
};

const message = z.looseObject({
  role: z.string(),
  content: z
    .union([z.string(), z.array(z.looseObject({ type: z.string(), text: z.string().optional() }))])
    .nullish(),
  tool_calls: z
    .array(z.unknown())
    .nullish()
    .transform((calls) => calls ?? undefined),
});

const tool = z.looseObject({ type: z.literal("function"), function: z.looseObject({ name: z.string() }) });

/** Texts or lists of tokens at most in one request. */
const mostPrompts = 2048;

/** One text or list of tokens, or several, as several. Lists are long: the first item that is wrong ends the reading. */
const prompts = z.unknown().transform((value, context): (string | number[])[] => {
  const isToken = (item: unknown) => typeof item === "number" && Number.isInteger(item) && item >= 0;
  const isTokenList = (item: unknown) => Array.isArray(item) && item.length > 0 && item.every(isToken);
  const isPrompt = (item: unknown) => typeof item === "string" || isTokenList(item);
  if (isPrompt(value)) {
    return [value as string | number[]];
  }
  if (Array.isArray(value) && value.length > 0 && value.length <= mostPrompts && value.every(isPrompt)) {
    return value as (string | number[])[];
  }
  context.addIssue("must be a text, a list of texts, a list of tokens, or a list of such lists");
  return z.NEVER;
});

/** Messages of a conversation at most. */
const mostMessages = 10_000;

/** Body of `/v1/chat/completions`. */
export const chatSchema = z.object({
  ...common,
  messages: z.array(message).min(1),
  max_tokens: optional(z.int().min(1)),
  max_completion_tokens: optional(z.int().min(1)),
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.int().min(0).max(20)),
  tools: optional(z.array(tool)),
  tool_choice: optional(
    z.enum(["none", "auto"], "only none and auto are possible: a model cannot be made to call"),
  ),
  response_format: optional(z.object({ type: z.literal("text", "only text is possible") })),
  chat_template_kwargs: optional(z.record(z.string(), z.unknown())),
  /** Whether control tokens that messages spell out are such. */
  parse_special: optional(z.boolean()).transform((parse) => parse ?? false),
});
export type ChatRequest = z.infer<typeof chatSchema>;

/** Body of `/v1/completions`. */
export const completionSchema = z.object({
  ...common,
  prompt: prompts,
  max_tokens: optional(z.int().min(1)).transform((most) => most ?? defaultCompletionTokens),
  logprobs: optional(z.int().min(0).max(20)),
  echo: optional(z.literal(false, "is not possible")),
  suffix: optional(z.literal("", "is not possible")),
  /** Whether control tokens in the prompt are such. */
  parse_special: optional(z.boolean()).transform((parse) => parse ?? true),
});
export type CompletionRequest = z.infer<typeof completionSchema>;

/** Body of `/v1/embeddings`. */
export const embeddingSchema = z.object({
  model: optional(z.string()),
  input: prompts,
  encoding_format: optional(z.enum(["float", "base64"])).transform((format) => format ?? "float"),
  dimensions: optional(z.undefined("is not possible: the vectors have the model's length")),
});
export type EmbeddingRequest = z.infer<typeof embeddingSchema>;

/**
 * Reads a body.
 * Throws an ApiError that names the first wrong field.
 */
export function readBody<T extends z.ZodType>(schema: T, text: string): z.infer<T> {
  let body: unknown;
  try {
    body = parseBoundedJson(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const what = error instanceof UsageError ? "cannot be read" : "is not valid JSON";
    throw new ApiError(400, `the body ${what}: ${reason}.`);
  }
  checkMessages(body);
  const result = schema.safeParse(body);
  if (result.success) {
    return result.data;
  }
  const issue = result.error.issues[0];
  const param = issue?.path.map(String).join(".") ?? "";
  const where = param === "" ? "the body" : param;
  throw new ApiError(
    400,
    `${where}: ${issue?.message ?? "is not as it should be"}.`,
    param === "" ? {} : { param },
  );
}

/** Looks at the number of messages before each of them is looked at. */
function checkMessages(body: unknown): void {
  const messages =
    typeof body === "object" && body !== null && "messages" in body ? body.messages : undefined;
  if (Array.isArray(messages) && messages.length > mostMessages) {
    throw new ApiError(
      400,
      `messages: ${messages.length} are more than the ${mostMessages} that are taken.`,
      {
        param: "messages",
      },
    );
  }
}
