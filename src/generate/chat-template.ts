/**
 * A model's own chat template: the Jinja program under `tokenizer.chat_template` that makes one prompt of a
 * conversation. It is code from a stranger and runs in an isolated process, with bounds on time and memory.
 * Variables are those of Hugging Face's `apply_chat_template`.
 */
import { CancelledError, MalformedInputError, UsageError } from "../errors.js";
import { type Metadata, metadataNumber, metadataString } from "../gguf/metadata.js";
import { Isolated } from "../isolation/isolated.js";
import { type ChatMessage, templateMessages } from "./chat-messages.js";
import type { RenderReply, RenderRequest, TemplateData } from "./chat-template-worker.js";

/** Longest template accepted, in characters. Real ones have some ten thousand. */
const maxTemplateLength = 1_048_576;

/** Longest prompt accepted, in characters: some millions of tokens. */
const maxPromptLength = 33_554_432;

/** Time for one prompt. Real templates need milliseconds. */
const renderTimeoutMs = 10_000;

const heapMegabytes = 128;
const memoryMegabytes = 512;

/** For models whose vocabulary has ChatML's tokens and whose header has no template. */
const chatMl = `{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}`;

/** What a conversation is rendered with. */
export interface ChatTemplateSource {
  /** What to call the model in messages. */
  readonly name: string;
  /** The default template under the name "default", and named ones (`tool_use`, `rag`, ...). */
  readonly templates: ReadonlyMap<string, string>;
  /** Texts of the tokens that begin and end a text; empty if there is none. */
  readonly bosToken: string;
  readonly eosToken: string;
}

/** A conversation, and how to render it. */
export interface ChatToRender {
  readonly messages: readonly ChatMessage[];
  /** Functions the model may call, in OpenAI's form. */
  readonly tools?: readonly unknown[] | undefined;
  /** End with the beginning of the assistant's next message; true by default. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Leave out a BOS at the beginning: for tokenizers that add it themselves (`ModelFacts.addsBos`). */
  readonly omitBos?: boolean | undefined;
  /** Further variables, such as `enable_thinking` (`chat_template_kwargs` of servers). */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The chat template of a model's header; see `findChatTemplate`.
 * Throws a UsageError if there is none; a MalformedInputError if a template is absurdly long.
 */
export function chatTemplateOf(metadata: Metadata, name: string): ChatTemplateSource {
  const source = findChatTemplate(metadata, name);
  if (source) {
    return source;
  }
  throw new UsageError(
    `${name}: has no chat template (tokenizer.chat_template) and no ChatML tokens, so it cannot hold a conversation; use it for plain completions, or use an instruction-tuned model.`,
    { file: name },
  );
}

/**
 * The chat template of a model's header, if it has one. A model without gets ChatML if its vocabulary has
 * `<|im_start|>` and `<|im_end|>`; other models would read a format they never saw.
 * Throws a MalformedInputError if a template is absurdly long.
 */
export function findChatTemplate(metadata: Metadata, name: string): ChatTemplateSource | undefined {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const vocabulary = tokens?.type === "array" && tokens.itemType === "string" ? tokens.value : [];
  const tokenText = (key: string) =>
    vocabulary[metadataNumber(metadata, `tokenizer.ggml.${key}_token_id`) ?? -1] ?? "";
  const templates = templatesIn(metadata);
  for (const [which, { length }] of templates) {
    if (length > maxTemplateLength) {
      throw new MalformedInputError(
        `${name}: its chat template "${which}" has ${length} characters, more than the ${maxTemplateLength} that a template can sensibly have; use another file.`,
        { file: name },
      );
    }
  }
  if (!templates.has("default")) {
    if (!vocabulary.includes("<|im_start|>") || !vocabulary.includes("<|im_end|>")) {
      return undefined;
    }
    templates.set("default", chatMl);
  }
  return { name, templates, bosToken: tokenText("bos"), eosToken: tokenText("eos") };
}

function templatesIn(metadata: Metadata): Map<string, string> {
  const prefix = "tokenizer.chat_template";
  const templates = new Map<string, string>();
  for (const key of metadata.keys()) {
    const template = key.startsWith(`${prefix}.`) ? metadataString(metadata, key) : undefined;
    if (template !== undefined) {
      templates.set(key.slice(prefix.length + 1), template);
    }
  }
  const main = metadataString(metadata, prefix);
  if (main !== undefined) {
    templates.set("default", main);
  }
  return templates;
}

/** Renders conversations one at a time. `close` ends its process; so does the end of the program. */
export class ChatTemplate {
  readonly #source: ChatTemplateSource;
  readonly #isolated: Isolated<RenderRequest, RenderReply>;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(source: ChatTemplateSource) {
    this.#source = source;
    this.#isolated = new Isolated({
      module: new URL("./chat-template-worker.js", import.meta.url).href,
      data: { templates: source.templates } satisfies TemplateData,
      readable: [],
      heapMegabytes,
      memoryMegabytes,
    });
  }

  /** The template's source. */
  get text(): string {
    const { templates } = this.#source;
    return templates.get("tool_use") ?? templates.get("default") ?? "";
  }

  /**
   * The prompt of a conversation. Tokenize it with `parseSpecial`. With tools, a template named "tool_use" is
   * preferred, as in Hugging Face's transformers.
   * Throws a UsageError if the template refuses the messages; a MalformedInputError if it is not valid Jinja, needs
   * too much time or memory, or makes an absurdly long prompt; a CancelledError.
   */
  async render(chat: ChatToRender, signal?: AbortSignal): Promise<string> {
    const turn = this.#turn.then(() => this.#renderNow(chat, signal));
    this.#turn = turn.catch(() => {});
    return await turn;
  }

  /** Ends the process in which templates are rendered. */
  close(): void {
    this.#closed = true;
    this.#isolated.close();
  }

  async #renderNow(chat: ChatToRender, signal: AbortSignal | undefined): Promise<string> {
    this.#checkOpen();
    const { name, bosToken, eosToken, templates } = this.#source;
    const tools = chat.tools && chat.tools.length > 0 ? chat.tools : null;
    const request: RenderRequest = {
      template: tools && templates.has("tool_use") ? "tool_use" : "default",
      maxLength: maxPromptLength,
      variables: {
        ...chat.variables,
        messages: templateMessages(chat.messages),
        tools,
        documents: null,
        add_generation_prompt: chat.addGenerationPrompt ?? true,
        bos_token: bosToken,
        eos_token: eosToken,
      },
    };
    const outcome = await this.#isolated.ask(request, { timeoutMs: renderTimeoutMs, signal });
    if ("failure" in outcome) {
      this.#checkOpen();
      const limit =
        outcome.failure === "too slow"
          ? `${renderTimeoutMs / 1000} seconds`
          : `${heapMegabytes} MiB of memory`;
      throw this.#malformed(`needs more than ${limit} for this conversation`);
    }
    const { reply } = outcome;
    if ("malformed" in reply) {
      throw this.#malformed(`is not valid Jinja (${reply.malformed})`);
    }
    if ("length" in reply) {
      throw this.#malformed(`makes a prompt of ${reply.length} characters`);
    }
    if ("refused" in reply) {
      throw new UsageError(
        `${name}: its chat template does not accept these messages: ${reply.refused}; change their roles, order or content.`,
        { file: name },
      );
    }
    const repeatsBos = chat.omitBos && bosToken !== "" && reply.text.startsWith(bosToken);
    return repeatsBos ? reply.text.slice(bosToken.length) : reply.text;
  }

  #checkOpen(): void {
    if (this.#closed) {
      throw new CancelledError(`the chat template of ${this.#source.name} was closed.`);
    }
  }

  #malformed(what: string): MalformedInputError {
    return new MalformedInputError(
      `${this.#source.name}: its chat template ${what}; use another file of this model.`,
      { file: this.#source.name },
    );
  }
}
