/** Options of every command that writes a model. */
import { Option } from "commander";
import { UsageError } from "../errors.js";
import { read } from "./arguments.js";

export function resume(): Option {
  return new Option("--resume", "continue the unfinished run of this output, if there is one");
}

export function restart(): Option {
  return new Option("--restart", "throw away the unfinished run of this output, if there is one");
}

export function splitMaxSize(): Option {
  return new Option(
    "--split-max-size <size>",
    "begin another file (OUT-00001-of-00003.gguf, ...) before one's tensors exceed this, for example 4G or 500M",
  ).argParser(read(parseSplitSize));
}

/** Reads `N(M|G)`, 10^6 or 10^9 bytes, as llama-gguf-split does. */
function parseSplitSize(text: string): number {
  const [, digits, unit] = /^(\d{1,9})([MG])$/i.exec(text) ?? [];
  const bytes = Number(digits) * (unit?.toUpperCase() === "G" ? 10 ** 9 : 10 ** 6);
  if (digits === undefined || bytes === 0) {
    throw new UsageError(`"${text}" is not a size like 4G or 500M.`);
  }
  return bytes;
}
