/** `demo`: the whole of `make` on the tiny model that ships with the package. */
import { fileURLToPath } from "node:url";
import { type MakeResult, make } from "./make.js";
import { type DemoOptions, demoCommand } from "./make-command.js";

/** Chunks of 512 tokens that the variants are compared on. */
const evaluateChunks = 40;

const shipped = (name: string) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));

/** Makes a folder of the tiny model. Errors: those of `make`. */
export async function demo(given: DemoOptions): Promise<MakeResult> {
  const options = demoCommand.read(given);
  return await make({
    ...options,
    model: shipped("tiny-moe-q8_0.gguf"),
    calibration: shipped("text/calibration.txt"),
    evaluate: shipped("text/eval.txt"),
    tasks: shipped("text/demo-tasks.jsonl"),
    parseSpecial: true,
    evaluateChunks,
  });
}
