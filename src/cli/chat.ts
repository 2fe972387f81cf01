/** `chat` in the terminal: reads messages, writes answers. */
import { createInterface, type Interface } from "node:readline";
import { LopsidedError } from "../errors.js";
import type { Chat } from "../generate/chat.js";
import type { Conversation } from "../generate/conversation.js";
import type { Completion } from "../generate/request.js";
import { readMessages } from "./chat-input.js";
import type { CommandContext } from "./run.js";
import { printableText } from "./terminal.js";
import type { View } from "./view.js";

const helpText = `/reset forgets what was said, /exit ends, /help shows this.
A line that ends with \\ goes on in the next; """ begins and ends a message of several lines.
Ctrl-C stops an answer, and ends the chat when nothing is being answered.`;

export const view: View<Chat> = {
  use: async ({ model, conversation, close }, context, { json }) => {
    context.signal.addEventListener("abort", () => void close(), { once: true });
    try {
      await talk(conversation, context, json === true);
      return json ? { json: { model, messages: conversation.messages }, lines: [] } : undefined;
    } finally {
      await close();
    }
  },
};

/** Reads messages and writes answers, unless it is to be silent, until the input ends. */
async function talk(conversation: Conversation, context: CommandContext, isSilent: boolean): Promise<void> {
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
      await answer(conversation, message, context, isSilent);
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

async function answer(
  conversation: Conversation,
  message: string,
  context: CommandContext,
  isSilent: boolean,
): Promise<void> {
  const stop = new AbortController();
  // With --json the whole conversation is printed at its end.
  const write = (text: string) => isSilent || process.stdout.write(text);
  context.onInterrupt(() => {
    stop.abort();
    context.onInterrupt(undefined); // a second time means the whole chat
  });
  try {
    const completion = await conversation.say(message, {
      signal: stop.signal,
      onText: (text) => write(printableText(text)),
    });
    write("\n");
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
