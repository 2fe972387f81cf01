/** Text as a model writes it, to calibrate and to evaluate on: the whole of the `generate` command. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { sourceIdentity } from "../activations/source-identity.js";
import { writeTextFile } from "../bytes/atomic-write.js";
import { finalPlace } from "../bytes/disk.js";
import { claimOutput } from "../bytes/leftovers.js";
import { hiddenPath, OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { Engine } from "../engine/engine.js";
import { describeModel } from "../engine/jobs.js";
import { UsageError } from "../errors.js";
import type { ChatMessage } from "../generate/chat-messages.js";
import { ChatTemplate, type ChatTemplateSource, chatTemplateOf } from "../generate/chat-template.js";
import {
  type ContextShape,
  contextOptions,
  defaultBatchTokens,
  defaultContextLength,
} from "../generate/context-shape.js";
import { samplingFor } from "../generate/generator-options.js";
import { placeModel } from "../generate/placed-model.js";
import { PromptTokenizer } from "../generate/prompt-tokenizer.js";
import { isConversations } from "../generate/rendered-conversations.js";
import { type TogetherAnswer, writeTogether } from "../generate/together-job.js";
import { AnswerFamily } from "../generate/tool-calls/families.js";
import type { ToolFunction } from "../generate/tool-calls/format.js";
import { openGguf } from "../model/gguf-model.js";
import { version } from "../version.js";
import { AnswerJournal } from "./answer-journal.js";
import { type GenerateOptions, generateCommand } from "./generate-command.js";
import { type CorpusPrompt, readPrompts } from "./prompts.js";

type Settings = ResolvedOptionsOf<typeof generateCommand>;

export interface GenerateResult {
  readonly model: string;
  readonly output: string;
  readonly prompts: number;
  /** Conversations written. */
  readonly answers: number;
  /** Answers that were too long and cut off. */
  readonly truncated: number;
  /** Answers without a word, which are left out. */
  readonly empty: number;
  /** Tokens of all answers. */
  readonly tokens: number;
  /** Answers that an earlier run had written; undefined if there was none. */
  readonly resumedFrom?: number | undefined;
  /** Time for what this run wrote, without loading the model. */
  readonly seconds: number;
  /** Of what this run wrote. */
  readonly tokensPerSecond: number;
}

/** Answers of a group, for each that is written at once: few wait for the last ones, and little is lost to a crash. */
const groupRounds = 4;

/** A prompt as the model gets it. */
interface ReadyPrompt extends CorpusPrompt {
  /** What the template made of it. */
  readonly text: string;
  readonly tokens: readonly number[];
}

/** One answer to be written. */
interface CorpusAttempt {
  readonly prompt: ReadyPrompt;
  /** Number of the prompt and of the answer to it. */
  readonly name: string;
}

/**
 * Has a model answer prompts through its chat template, and writes the conversations. Answers are written in fixed
 * groups, each in a context of its own, and each has a seed of its own; a group is kept beside the output when it is
 * whole. So an interrupted run goes on to the same bytes.
 *
 * Throws a UsageError if options make no sense, a prompt does not fit or the model has no template; a
 * MalformedInputError if prompts or model are damaged; an EnvironmentError if something cannot be read, written or
 * started; a CancelledError.
 */
export async function generate(given: GenerateOptions): Promise<GenerateResult> {
  const options = generateCommand.read(given);
  const { model, prompts: path, output, samples, temp } = options;
  if (samples > 1 && temp === 0) {
    throw new UsageError("`samples` of the likeliest tokens are all the same; use a `temp` above 0.");
  }
  await checkOutputs([output], [model, path]);
  if (!isConversations(output)) {
    throw new UsageError(`${output}: conversations are known by a name that ends in .jsonl; choose one.`, {
      file: output,
    });
  }
  const prompts = await readPrompts(path);
  const lock = await claimOutput(output);
  try {
    await (await OutputFile.create(output, 0)).discard();
    return await generateLocked(options, prompts);
  } finally {
    await lock.release();
  }
}

async function generateLocked(options: Settings, prompts: readonly CorpusPrompt[]): Promise<GenerateResult> {
  const { output, restart } = options;
  const { template, identity } = await readModel(options);
  const path = hiddenPath(await finalPlace(output), "journal");
  const journal = await AnswerJournal.open(path, identity, restart === true);
  try {
    return await writeCorpus(options, prompts, template, journal);
  } finally {
    await journal.close();
  }
}

/** The model's template, and what stands for all that answers depend on. */
async function readModel(options: Settings) {
  const { model, prompts, samples, nPredict, temp, topK, topP, minP, seed, ctx, parallel } = options;
  const source = await openGguf(model);
  try {
    const files = await sourceIdentity(source, prompts);
    const { threads, gpuLayers } = options;
    const sampling = { samples, nPredict, temp, topK, topP, minP, seed, ctx, parallel, threads, gpuLayers };
    const all = JSON.stringify({ version, files, sampling });
    return {
      template: chatTemplateOf(source.metadata, basename(model)),
      identity: createHash("sha256").update(all).digest("hex"),
    };
  } finally {
    await source.close();
  }
}

async function writeCorpus(
  options: Settings,
  prompts: readonly CorpusPrompt[],
  source: ChatTemplateSource,
  journal: AnswerJournal,
): Promise<GenerateResult> {
  const { model, output, samples, parallel } = options;
  const template = new ChatTemplate(source);
  const family = new AnswerFamily(template.text);
  const writer = new GroupWriter(options, family);
  try {
    await writer.load();
    const ready = await readyPrompts(prompts, template, writer, options);
    const attempts = ready.flatMap((prompt, at) =>
      Array.from({ length: samples }, (_, sample): CorpusAttempt => ({ prompt, name: `${at}:${sample}` })),
    );
    const size = groupRounds * parallel;
    const kept = journal.groups.flat();
    const answers = [...kept];
    const started = performance.now();
    for (let from = kept.length; from < attempts.length; from += size) {
      const group = await writer.write(attempts.slice(from, from + size), from, attempts.length);
      await journal.add(group);
      answers.push(...group);
    }
    const seconds = (performance.now() - started) / 1000;
    const lines = attempts.flatMap((attempt, at) => conversation(attempt, answers[at]?.text ?? "", family));
    await writeTextFile(output, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    await journal.remove();
    const tokens = sumTokens(answers);
    return {
      model,
      output,
      prompts: prompts.length,
      answers: lines.length,
      truncated: answers.filter(({ finishReason }) => finishReason === "length").length,
      empty: attempts.length - lines.length,
      tokens,
      ...(kept.length > 0 && { resumedFrom: kept.length }),
      seconds,
      tokensPerSecond: seconds > 0 ? (tokens - sumTokens(kept)) / seconds : 0,
    };
  } finally {
    template.close();
    await writer.close();
  }
}

function sumTokens(answers: readonly TogetherAnswer[]): number {
  return answers.reduce((sum, { tokens }) => sum + tokens, 0);
}

/** Renders and tokenizes all prompts before the first is answered, so that one that does not fit is told at once. */
async function readyPrompts(
  prompts: readonly CorpusPrompt[],
  template: ChatTemplate,
  writer: GroupWriter,
  { prompts: path, onProgress, signal }: Settings,
): Promise<ReadyPrompt[]> {
  const ready: ReadyPrompt[] = [];
  for (const prompt of prompts) {
    const { messages, tools, line } = prompt;
    try {
      const text = await template.render({ messages, tools }, signal);
      ready.push({ ...prompt, text, tokens: await writer.tokens(text) });
    } catch (error) {
      if (error instanceof UsageError) {
        throw new UsageError(`${path}:${line}: ${error.message}`, { file: path, line }, { cause: error });
      }
      throw error;
    }
    onProgress?.({ step: "prompts", done: ready.length, total: prompts.length, unit: "prompts" });
  }
  return ready;
}

/** Writes groups of answers. */
class GroupWriter {
  readonly #options: Settings;
  readonly #family: AnswerFamily;
  readonly #engine: Engine;
  readonly #tokenizer: PromptTokenizer;
  #shape: ContextShape;
  #model: Parameters<typeof writeTogether.run>[0]["model"];

  constructor(options: Settings, family: AnswerFamily) {
    const { model: path, gpuLayers, engine, parallel, threads, ctx = defaultContextLength(0) } = options;
    this.#options = options;
    this.#family = family;
    this.#engine = engine ?? new Engine();
    this.#tokenizer = new PromptTokenizer(path);
    this.#shape = this.#shapeFor(ctx, parallel, threads);
    this.#model = { path, ...(gpuLayers === undefined ? {} : { gpuLayers }) };
  }

  /** Loads the model and finds the length of the context. */
  async load(): Promise<void> {
    const { ctx, parallel, threads, gpuMemory, onProgress, onWarning, signal, model: path } = this.#options;
    const shape = (trained: number) =>
      this.#shapeFor(ctx ?? defaultContextLength(trained), parallel, threads);
    const { model, note } = await placeModel(
      this.#engine,
      this.#model,
      (trained) => contextOptions(shape(trained)),
      { gpuMemory, ...(signal && { signal }) },
    );
    if (note !== undefined) {
      onWarning?.(note);
    }
    const { trainedContextLength } = await this.#engine.run(
      describeModel,
      { model },
      {
        ...(signal && { signal }),
        onLoad: (_, done) =>
          onProgress?.({ step: "load", done: Math.floor(100 * done), total: 100, unit: "%", detail: path }),
      },
    );
    this.#model = model;
    this.#shape = shape(trainedContextLength);
  }

  /** Tokens of a rendered prompt. Throws a UsageError if it leaves no room for an answer. */
  async tokens(text: string): Promise<readonly number[]> {
    const { contextLength } = this.#shape;
    const tokens = await this.#tokenizer.tokens(text, contextLength, this.#options.signal);
    if (tokens.length >= contextLength) {
      throw new UsageError(
        `the prompt has ${tokens.length} tokens, which leaves no room for an answer in ${contextLength}; shorten it or raise \`ctx\`.`,
      );
    }
    return tokens;
  }

  /** Writes a group, of which so many answers went before. */
  async write(attempts: readonly CorpusAttempt[], before: number, total: number): Promise<TogetherAnswer[]> {
    const { nPredict, seed, onProgress, signal } = this.#options;
    let done = before;
    const requests = attempts.map(({ prompt: { tokens, tools = [] }, name }) => ({
      prompt: tokens,
      maxTokens: nPredict,
      sampling: samplingFor({ ...this.#options, seed: seedOf(`${seed}:${name}`) }),
      visibleTokens: this.#family.visibleTokens(tools.length > 0),
    }));
    onProgress?.({ step: "generate", done, total, unit: "answers" });
    return await this.#engine.run(
      writeTogether,
      { ...this.#shape, model: this.#model, requests },
      {
        ...(signal && { signal }),
        onEvent: () => onProgress?.({ step: "generate", done: ++done, total, unit: "answers" }),
      },
    );
  }

  async close(): Promise<void> {
    await this.#tokenizer.close();
    if (this.#options.engine === undefined) {
      await this.#engine.close();
    }
  }

  #shapeFor(contextLength: number, slots: number, threads: number | undefined): ContextShape {
    const batchSize = Math.max(slots, Math.min(defaultBatchTokens, contextLength));
    return { slots, contextLength, batchSize, threads };
  }
}

/** A whole number of 48 bits from a name. */
function seedOf(name: string): number {
  return createHash("sha256").update(name).digest().readUIntBE(0, 6);
}

/** The conversation with its answer, in OpenAI's form; none if the answer is empty. */
function conversation({ prompt, name }: CorpusAttempt, answer: string, family: AnswerFamily) {
  const { messages, tools, text } = prompt;
  const functions = (tools ?? []).map((tool) => (tool as { function: ToolFunction }).function);
  const parser = family.parser({ tools: functions, prompt: text });
  const parts = [...parser.add(answer), ...parser.end()];
  const textOf = (type: "content" | "reasoning") =>
    parts.map((part) => (part.type === type ? part.text : "")).join("");
  const calls = parts.flatMap((part) => (part.type === "call" ? [part.call] : []));
  const [content, reasoning] = [textOf("content"), textOf("reasoning")];
  if (content.trim() === "" && calls.length === 0) {
    return [];
  }
  const message: ChatMessage = {
    role: "assistant",
    content,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map((call, index) => ({
        // Nine letters and digits are what all templates take.
        id: call.id ?? createHash("sha256").update(`${name}:${index}`).digest("hex").slice(0, 9),
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      })),
    }),
  };
  return [{ messages: [...messages, message], ...(tools && { tools }) }];
}
