/** Whole files of text from the user's disk: regular files, not too long, in UTF-8. */
import { readJsonText } from "./json.js";
import { FileSource } from "./source.js";

/**
 * Reads a file as text. Throws an EnvironmentError if it cannot be read or is no regular file, a MalformedInputError
 * if it has more than `maxBytes` or is not UTF-8.
 */
export async function readWholeText(path: string, maxBytes: number): Promise<string> {
  const source = await FileSource.open(path);
  try {
    return await readJsonText(source, maxBytes);
  } finally {
    await source.close();
  }
}
