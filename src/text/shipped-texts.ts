/** The texts that ship with the package: a mix to calibrate on, and a text of each kind to evaluate on (`texts/README.md`). */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";

const unpack = promisify(brotliDecompress);

/** Names of the evaluation texts; what ends in `.jsonl` are conversations. */
export const shippedEvaluationTexts = [
  "code.txt",
  "manual.txt",
  "prose.txt",
  "languages.txt",
  "tools.jsonl",
  "chat.jsonl",
] as const;

/** The mix: a piece of text or a conversation in each line, all kinds evenly. */
export const shippedCalibration = "calibration.jsonl";

/** Reads one of them. */
export async function readShippedText(name: string): Promise<string> {
  const path = fileURLToPath(new URL(`../../texts/${name}.br`, import.meta.url));
  return (await unpack(await readFile(path))).toString("utf8");
}
