/**
 * YAML from strangers. The parser calls itself for every level of nesting (V8 can abort the process if the stack
 * ends inside a regular expression), compares all keys of a mapping with one another, and expands aliases; so the
 * text is cut into tokens first, which takes one pass, and what no recipe needs is refused.
 */
import { type Document, isNode, isScalar, Lexer, LineCounter, parseDocument, visit } from "yaml";

/** Recipes have three levels. */
const mostLevels = 16;

/** Deepest indentation, in characters: it bounds the levels of block collections. */
const mostIndentation = 64;

export interface ParsedYaml {
  readonly document: Document;
  readonly lines: LineCounter;
}

/** Parses a document without anchors, aliases, tags or deep nesting. `malformed` makes the error for a line. */
export function parseYaml(text: string, malformed: (line: number, problem: string) => Error): ParsedYaml {
  checkTokens(text, malformed);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, logLevel: "error" });
  const damage = document.errors[0];
  if (damage !== undefined) {
    const message = damage.message.replace(/ at line \d[\s\S]*/, "");
    throw malformed(lines.linePos(damage.pos[0]).line, `not valid YAML: ${message}.`);
  }
  checkKeys(document, lines, malformed);
  return { document, lines };
}

function checkTokens(text: string, malformed: (line: number, problem: string) => Error): void {
  let line = 1;
  let flowLevels = 0;
  let indicators = 0;
  let isLineStart = true;
  for (const token of new Lexer().lex(text)) {
    if (/^[&*!]/.test(token)) {
      throw malformed(line, `"${token}" is not allowed: recipes have no anchors or tags.`);
    }
    if (token === "[" || token === "{") {
      flowLevels++;
    }
    if (token === "]" || token === "}") {
      flowLevels--;
    }
    if (token === "-" || token === "?") {
      indicators++;
    }
    const indentation = isLineStart && /^[ \t]+$/.test(token) ? token.length : 0;
    if (flowLevels > mostLevels || indicators > mostLevels || indentation > mostIndentation) {
      throw malformed(line, "nested too deeply for a recipe.");
    }
    isLineStart = token.endsWith("\n");
    if (isLineStart) {
      indicators = 0;
    }
    line += token.split("\n").length - 1;
  }
}

/** The parser's own check takes the square of the time. */
function checkKeys(
  document: Document,
  lines: LineCounter,
  malformed: (line: number, problem: string) => Error,
): void {
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        const offset = isNode(key) ? key.range?.[0] : undefined;
        const line = lines.linePos(offset ?? map.range?.[0] ?? 0).line;
        if (!isScalar(key)) {
          throw malformed(line, "a key must be a word.");
        }
        if (seen.has(key.value)) {
          throw malformed(line, `the key "${key.value}" stands twice.`);
        }
        seen.add(key.value);
      }
    },
  });
}
