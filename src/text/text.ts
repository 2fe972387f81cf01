/** Texts that models are calibrated on and measured with. */
import { constants } from "node:fs";
import { access, readFile, stat } from "node:fs/promises";
import { EnvironmentError } from "../errors.js";

/** Throws an EnvironmentError unless `path` is a file that can be read: what is found out before a model is loaded. */
export async function checkReadable(path: string): Promise<void> {
  let isFile: boolean;
  try {
    await access(path, constants.R_OK);
    isFile = (await stat(path)).isFile();
  } catch (cause) {
    throw new EnvironmentError(`${path}: cannot be read; check the path.`, { file: path }, { cause });
  }
  if (!isFile) {
    throw new EnvironmentError(`${path}: is not a file; name a text file.`, { file: path });
  }
}

/** A text's bytes as llama.cpp's tools take them: without the last line's end. */
export async function readText(path: string): Promise<Uint8Array> {
  return withoutFinalNewline(await readFile(path));
}

/** The bytes without one newline at their end. */
export function withoutFinalNewline(text: Uint8Array): Uint8Array {
  return text.at(-1) === 0x0a ? text.subarray(0, -1) : text;
}
