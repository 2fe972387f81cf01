/** Texts with names: `code=a.txt` is the text in a.txt, called "code" in results. */
import { stat } from "node:fs/promises";
import { shownName } from "../bytes/address.js";
import { UsageError } from "../errors.js";

export interface NamedText {
  /** Given before `=`, or the last part of the path. */
  readonly name: string;
  readonly path: string;
}

/**
 * Reads texts as they are given: paths, or NAME=PATH. Something that is a file as it stands is a path, whatever is in
 * it. Throws a UsageError if two have one name.
 */
export async function namedTexts(given: readonly string[]): Promise<NamedText[]> {
  const texts = await Promise.all(given.map(namedText));
  for (const { name } of texts) {
    if (texts.filter((text) => text.name === name).length > 1) {
      throw new UsageError(
        `two texts are called "${name}"; name them, for example code=a.txt and prose=b.txt.`,
        { text: name },
      );
    }
  }
  return texts;
}

async function namedText(given: string): Promise<NamedText> {
  const [, name, path] = /^([\p{L}\p{N}][\p{L}\p{N} ._-]{0,63})=(.+)$/su.exec(given) ?? [];
  const isFile = (await stat(given).catch(() => undefined)) !== undefined;
  return name === undefined || path === undefined || isFile
    ? { name: shownName(given), path: given }
    : { name, path };
}
