/** A server on the tiny model for tests, and prompts whose answers are known. */
import type { ServeOptions } from "../serve/serve-command.js";
import { type RunningServer, serve } from "../serve/server.js";
import { fixture } from "./command.js";

/** Serves the tiny model at a free port. */
export function serveTinyModel(options: Partial<ServeOptions> = {}): Promise<RunningServer> {
  return serve({
    model: fixture("tiny-moe-q8_0.gguf"),
    port: 0,
    threads: 1,
    // 512 tokens for each slot.
    ctxSize: 512 * (options.parallel ?? 4),
    ...options,
  });
}

/** A task whose answer the tiny model begins with the number of heads, if that is between 20 and 50. */
export const puzzle = (heads: number) =>
  `A farmer has chickens and rabbits. Together they have ${heads} heads and ${heads * 3 - 1} legs. How many chickens and how many rabbits are there?`;

export const puzzleAnswer = (heads: number) => `If all ${heads} were`;

/** The tokens with which the tiny model ends an answer; forbidden, it goes on. */
export const goOn = { "2045": -100, "2046": -100, "2047": -100 };
