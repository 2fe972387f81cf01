/** Bodies of requests: OpenAI's fields, and llama-server's where OpenAI has none. */
import { z } from "zod";
import { UsageError } from "../errors.js";
import { parseBoundedJson } from "../generate/bounded-json.js";
import { ApiError } from "./errors.js";

/** Tokens of OpenAI's completions if the request does not say. */
const defaultCompletionTokens = 16;

const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((value) => value ?? undefined);

/** A field that is taken if it asks for nothing special. */
export const only = (...values: readonly unknown[]) =>
  z
    .unknown()
    .optional()
    .refine((value) => value === undefined || value === null || values.includes(value), {
      error: `is not supported${values.length > 0 ? `, except as ${values.map((value) => JSON.stringify(value)).join(" or ")}` : ""}`,
    });

/** What is said of content that is no text. */
export const contentError = "only text, thoughts, calls and their results can be read here";

/** A field that says something about the request and changes nothing in its answer. */
const label = z.unknown().optional();

/** A number of tokens; -1 for as many as fit. */
const tokenLimit = optional(
  z
    .int()
    .min(-1)
    .refine((count) => count !== 0, "must be at least 1, or -1"),
);
const tokenCount = tokenLimit.transform((count) => (count === -1 ? undefined : count));

const mostBiases = 1024;

/** OpenAI's form `{"token": bias}`, and llama-server's `[[token, bias], ...]`, in which false forbids a token. */
const logitBias = z
  .unknown()
  .optional()
  .transform((value, context): (readonly [number, number])[] | undefined => {
    if (value === undefined || value === null) {
      return undefined;
    }
    const entries: unknown[] = Array.isArray(value) ? value : Object.entries(value);
    if (typeof value !== "object" || entries.length > mostBiases) {
      context.addIssue(`must be an object or a list with ${mostBiases} tokens at most`);
      return z.NEVER;
    }
    return entries.map((entry) => {
      const [name, given] = Array.isArray(entry) ? entry : [];
      const token = typeof name === "string" && /^\d{1,10}$/.test(name) ? Number(name) : name;
      const bias = given === false ? Number.NEGATIVE_INFINITY : given;
      if (typeof token !== "number" || !Number.isInteger(token) || token < 0) {
        context.addIssue("names are token numbers");
      } else if (typeof bias !== "number" || (given !== false && Math.abs(bias) > 100)) {
        context.addIssue("biases are numbers from -100 to 100, or false");
      }
      return [token as number, bias as number] as const;
    });
  });

/** Strings that end an answer; empty ones end none. */
const stops = optional(z.union([z.string().max(1000), z.array(z.string().max(1000)).max(16)])).transform(
  (stop) => {
    const found = (typeof stop === "string" ? [stop] : (stop ?? [])).filter((each) => each !== "");
    return found.length > 0 ? found : undefined;
  },
);

const sampling = {
  temperature: optional(z.number().min(0).max(100)),
  top_p: optional(z.number().min(0).max(1)),
  top_k: optional(z.int().min(-1)).transform((count) => (count === -1 ? 0 : count)),
  min_p: optional(z.number().min(0).max(1)),
  seed: optional(z.int().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER)).transform((seed) =>
    seed === -1 ? undefined : seed,
  ),
  frequency_penalty: optional(z.number().min(-2).max(2)),
  presence_penalty: optional(z.number().min(-2).max(2)),
  logit_bias: logitBias,
  // Samplers of llama-server that are not here, at the values at which they do nothing.
  repeat_penalty: only(1),
  typical_p: only(1),
  top_n_sigma: only(-1),
  mirostat: only(0),
  dynatemp_range: only(0),
  xtc_probability: only(0),
  dry_multiplier: only(0),
};

/** How tokens are chosen, in every route's words. */
export interface SamplingFields {
  readonly temperature?: number | undefined;
  readonly top_p?: number | undefined;
  readonly top_k?: number | undefined;
  readonly min_p?: number | undefined;
  readonly seed?: number | undefined;
  readonly frequency_penalty?: number | undefined;
  readonly presence_penalty?: number | undefined;
  readonly logit_bias?: readonly (readonly [number, number])[] | undefined;
}

const common = {
  model: optional(z.string()),
  n: optional(z.int().min(1)).transform((n) => n ?? 1),
  stop: stops,
  stream: optional(z.boolean()).transform((stream) => stream ?? false),
  stream_options: optional(z.object({ include_usage: optional(z.boolean()), include_obfuscation: label })),
  grammar: optional(z.string()).transform((grammar) => (grammar === "" ? undefined : grammar)),
  user: label,
  metadata: label,
  cache_prompt: only(true),
  ...sampling,
};

const part = z.looseObject({ type: z.string(), text: z.string().optional(), refusal: z.string().optional() });

const message = z.looseObject({
  role: z.string(),
  content: z.union([z.string(), z.array(part)]).nullish(),
  tool_calls: z
    .array(z.unknown())
    .nullish()
    .transform((calls) => calls ?? undefined),
});

const tool = z.looseObject({
  type: z.literal("function", "only functions can be called"),
  function: z.looseObject({ name: z.string().min(1), parameters: z.unknown().optional() }),
});

const toolChoice = z.union(
  [
    z.enum(["none", "auto", "required"]),
    z
      .object({ type: z.literal("function"), function: z.object({ name: z.string() }) })
      .transform((choice) => ({ name: choice.function.name })),
  ],
  'must be "none", "auto", "required" or a function',
);

const responseFormat = z.union(
  [
    z.object({ type: z.literal("text") }),
    z.object({ type: z.literal("json_object"), schema: z.unknown().optional() }),
    z
      .object({
        type: z.literal("json_schema"),
        json_schema: z.looseObject({ schema: z.unknown().optional() }),
      })
      .transform((format) => ({ type: format.type, schema: format.json_schema.schema ?? true })),
  ],
  'must have the type "text", "json_object" or "json_schema" (with json_schema.schema)',
);

/** Texts or lists of tokens at most in one request. */
const mostPrompts = 2048;

/** One text or list of tokens, or several, as several. Lists are long: the first item that is wrong ends the reading. */
const prompts = z
  .unknown()
  .optional()
  .transform((value, context): (string | number[])[] => {
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
export const chatSchema = z.strictObject({
  ...common,
  messages: z.array(message).min(1),
  max_tokens: tokenCount,
  max_completion_tokens: tokenCount,
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.int().min(0).max(20)),
  tools: optional(z.array(tool).max(512)),
  tool_choice: optional(toolChoice),
  parallel_tool_calls: optional(z.boolean()),
  response_format: optional(responseFormat),
  json_schema: optional(z.unknown()),
  reasoning_effort: optional(z.string()),
  chat_template_kwargs: optional(z.record(z.string(), z.unknown())),
  /** Whether control tokens that messages spell out are such. */
  parse_special: optional(z.boolean()).transform((parse) => parse ?? false),
  modalities: z
    .unknown()
    .optional()
    .refine((value) => value == null || JSON.stringify(value) === '["text"]', "only text can be written"),
  store: only(false, true),
  service_tier: label,
  safety_identifier: label,
  prompt_cache_key: label,
  prompt_cache_retention: label,
  verbosity: only("medium"),
  reasoning_format: only("auto", "deepseek"),
});
export type ChatRequest = z.infer<typeof chatSchema>;

/** Body of `/v1/completions`. */
export const completionSchema = z.strictObject({
  ...common,
  prompt: prompts,
  max_tokens: tokenLimit.transform((most) => (most === -1 ? undefined : (most ?? defaultCompletionTokens))),
  logprobs: optional(z.int().min(0).max(20)),
  echo: optional(z.literal(false, "is not possible")),
  suffix: optional(z.literal("", "is not possible")),
  best_of: only(1),
  /** Whether control tokens in the prompt are such. */
  parse_special: optional(z.boolean()).transform((parse) => parse ?? true),
});
export type CompletionRequest = z.infer<typeof completionSchema>;

/** Body of `/v1/embeddings`. */
export const embeddingSchema = z.strictObject({
  model: optional(z.string()),
  input: prompts,
  encoding_format: optional(z.enum(["float", "base64"])).transform((format) => format ?? "float"),
  dimensions: optional(z.undefined("is not possible: the vectors have the model's length")),
  user: label,
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
  if (issue?.code === "unrecognized_keys") {
    const param = [...issue.path, issue.keys[0]].map(String).join(".");
    throw new ApiError(400, `${param.slice(0, 200)}: is not supported here; leave it out.`, { param });
  }
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
