/** The front matter of a model card. */

import { parse } from "yaml";
import type { Folder } from "../../../bytes/folder.js";
import { readJsonText } from "../../../bytes/json.js";
import { MalformedInputError } from "../../../errors.js";

/** Largest README read. Real ones stay under one megabyte. */
const maxCardBytes = 16_777_216;

/**
 * The YAML block between two `---` lines at the start of README.md, where Hugging Face keeps license, tags and
 * the like. Empty if there is none; a MalformedInputError if it is not YAML.
 */
export async function readModelCard(folder: Folder): Promise<ReadonlyMap<unknown, unknown>> {
  const source = await folder.open("README.md");
  if (!source) {
    return new Map();
  }
  try {
    return parseModelCard(await readJsonText(source, maxCardBytes), source.name);
  } finally {
    await source.close();
  }
}

function parseModelCard(text: string, name: string): ReadonlyMap<unknown, unknown> {
  const [first, ...lines] = text.split(/\r\n|\r|\n/);
  if (first !== "---") {
    return new Map();
  }
  const end = lines.indexOf("---");
  const block = lines
    .slice(0, end < 0 ? undefined : end)
    .map((line) => line.replaceAll("\t", "  "))
    .join("\n");
  try {
    // All values as text: the language "no" (Norwegian) is no truth value, and version 1.0 keeps its zero.
    const card: unknown = parse(block, {
      schema: "failsafe",
      mapAsMap: true,
      uniqueKeys: false,
      logLevel: "error",
    });
    return card instanceof Map ? card : new Map();
  } catch (cause) {
    const [problem] = String(cause instanceof Error ? cause.message : cause).split("\n");
    throw new MalformedInputError(
      `${name}: the block between the "---" lines is not YAML: ${problem} Mend it, or take the file away.`,
      { file: name },
      { cause },
    );
  }
}
