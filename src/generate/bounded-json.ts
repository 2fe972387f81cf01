/** JSON from clients: its depth and size are known before it is parsed, so that no text of some megabytes becomes gigabytes. */
import { UsageError } from "../errors.js";

/** Levels of nesting at most. JSON Schemas of real tools have ten or twenty. */
const mostDepth = 128;

/** Braces, brackets, colons and commas at most: more than a prompt of a quarter of a million tokens has. */
const mostStructure = 500_000;

const quote = 0x22;
const backslash = 0x5c;

/**
 * Parses JSON.
 * Throws a UsageError if it is nested too deeply or has too many values; a SyntaxError if it is not JSON.
 */
export function parseBoundedJson(text: string): unknown {
  let depth = 0;
  let structure = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote:
        at = endOfString(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        structure++;
        if (++depth > mostDepth) {
          throw new UsageError(`it is nested deeper than ${mostDepth} levels`, { reason: "json-depth" });
        }
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x2c: // ,
      case 0x3a: // :
        structure++;
        break;
    }
    if (structure > mostStructure) {
      throw new UsageError(`it has more than ${mostStructure} values`, { reason: "json-size" });
    }
  }
  return JSON.parse(text);
}

/** Where the string that begins at a quote ends. */
function endOfString(text: string, begin: number): number {
  for (let at = begin + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      return at;
    }
    if (code === backslash) {
      at++;
    }
  }
  return text.length;
}
