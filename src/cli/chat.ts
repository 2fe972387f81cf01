import { createInterface, type Interface } from "node:readline";
import { type Command, Option } from "commander";
import { LopsidedError } from "../errors.js";
import { ChatTemplate, chatTemplateOf } from "../generate/chat-template.js";
import { Conversation } from "../generate/conversation.js";
import { Generator } from "../generate/generator.js";
import type { Completion } from "../generate/request.js";
import { openModel } from "../model/open.js";
import { notNegative, wholeNumber } from "./arguments.js";
import { readMessages } from "./chat-input.js";
import { addGeneratorOptions, type GeneratorFlags, generatorOptions } from "./generator-options.js";
import { type CommandContext, runCommand } from "./run.js";
import { printableText } from "./terminal.js";

interface Flags extends GeneratorFlags {
  systemPrompt?: string;
  temp?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  seed?: number;
  predict?: number;
}

const helpText = `/reset forgets what was said, /exit ends, /help shows this.
A line that ends with \\ goes on in the next; """ begins and ends a message of several lines.
Ctrl-C stops an answer, and ends the chat when nothing is being answered.`;

export function addChat(program: Command): void {
  addGeneratorOptions(program.command("chat"))
    .description("A conversation with a model in the terminal; /help says how.")
    .option("-c, --ctx-size <n>", "tokens of context; 0: the model's, up to 4096", wholeNumber(0), 0)
    .addOption(new Option("-s, --seed <n>", "equal seeds give equal answers").argParser(wholeNumber(0)))
    .option("--system-prompt <text>", "said to the model before everything else, also -sys")
    .option("-n, --predict <n>", "tokens of an answer at most", wholeNumber(1))
    .option("--temp <n>", "temperature; 0 takes the likeliest token (default: 0.8)", notNegative)
    .option("--top-k <n>", "likeliest tokens to choose from; 0: all (default: 40)", wholeNumber(0))
    .option("--top-p <n>", "probability that they have together (default: 0.95)", notNegative)
    .option("--min-p <n>", "least probability, of the likeliest token's (default: 0.05)", notNegative)
    .action((model: string | undefined, flags: Flags) =>
      runCommand({}, async (context) => {
        await converse(model, flags, context);
        return undefined;
      }),
    );
}

async function converse(model: string | undefined, flags: Flags, context: CommandContext): Promise<void> {
  const options = generatorOptions(model, flags, 1, context.onProgress);
  const template = await openTemplate(options.model.path, context.signal);
  const generator = new Generator({
    ...options,
    onCrash: (error) => context.say(`warning: ${error.message}`),
  });
  const close = () => void generator.close();
  context.signal.addEventListener("abort", close, { once: true });
  try {
    await generator.ready();
    const conversation = new Conversation({
      generator,
      template,
      system: flags.systemPrompt,
      sampling: samplingOf(flags),
      maxTokens: flags.predict,
    });
    await talk(conversation, context);
  } finally {
    template.close();
    await generator.close();
  }
}

async function openTemplate(path: string, signal: AbortSignal): Promise<ChatTemplate> {
  const model = await openModel(path, { signal });
  try {
    return new ChatTemplate(chatTemplateOf(model.metadata, model.name));
  } finally {
    await model.close();
  }
}

function samplingOf({ temp, topK, topP, minP, seed }: Flags) {
  const given = { temperature: temp, topK, topP, minP, seed };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Reads messages and writes answers until the input ends. */
async function talk(conversation: Conversation, context: CommandContext): Promise<void> {
  const { stdin } = process;
  const lines = createInterface({ input: stdin, ...(stdin.isTTY ? { output: process.stderr } : {}) });
  // A terminal in raw mode gives Ctrl-C to the reader of lines.
  lines.on("SIGINT", () => process.emit("SIGINT"));
  context.signal.addEventListener("abort", () => lines.close(), { once: true });
  if (stdin.isTTY) {
    sayHelp(context);
  }
  for await (const message of readMessages(lines, (continues) => prompt(lines, continues))) {
    if (context.signal.aborted || message === "/exit") {
      break;
    }
    if (message === "/reset") {
      conversation.reset();
    } else if (message === "/help") {
      sayHelp(context);
    } else {
      await answer(conversation, message, context);
    }
  }
  lines.close();
}

function sayHelp({ say }: CommandContext): void {
  for (const line of helpText.split("\n")) {
    say(line);
  }
}

function prompt(lines: Interface, continues: boolean): void {
  if (!process.stdin.isTTY) {
    return;
  }
  lines.setPrompt(continues ? "... " : "> ");
  lines.prompt();
}

async function answer(conversation: Conversation, message: string, context: CommandContext): Promise<void> {
  const stop = new AbortController();
  context.onInterrupt(() => {
    stop.abort();
    context.onInterrupt(undefined); // a second time means the whole chat
  });
  try {
    const completion = await conversation.say(message, {
      signal: stop.signal,
      onText: (text) => process.stdout.write(printableText(text)),
    });
    process.stdout.write("\n");
    context.say(completion ? summary(completion) : "(stopped)");
  } catch (error) {
    // A conversation that has become too long, or a crash, does not end the chat.
    if (!(error instanceof LopsidedError)) {
      throw error;
    }
    if (!context.signal.aborted) {
      context.say(error.message);
      context.say("(/reset begins a new conversation)");
    }
  } finally {
    context.onInterrupt(undefined);
  }
}

function summary({ completionTokens, generationMs, finishReason }: Completion): string {
  const speed = completionTokens > 1 ? (completionTokens - 1) / (generationMs / 1000) : Number.NaN;
  const rate = Number.isFinite(speed) ? `, ${speed.toFixed(1)} tokens/s` : "";
  return `(${completionTokens} tokens${rate}${finishReason === "length" ? ", cut off" : ""})`;
}
