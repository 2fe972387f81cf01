/**
 * Cuts a template into text and the tokens within its tags, with the white space around tags as jinja2 leaves it with
 * `trim_blocks` and `lstrip_blocks` (jinja2/lexer.py).
 */

export type TokenType = "text" | "begin" | "end" | "name" | "integer" | "float" | "string" | "operator";

export interface Token {
  readonly type: TokenType;
  /** The text; of `begin` and `end` what they surround: "block" or "print". */
  readonly value: string;
  readonly line: number;
}

/** A text that is no template. */
export class TemplateSyntaxError extends Error {
  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`);
  }
}

const tagBegin = /\{%([-+]?)\s*raw\s*(?:-%\}\s*|%\})|\{([%{#])([-+]?)/g;
const rawEnd = /\{%([-+]?)\s*endraw\s*(?:\+%\}|-%\}\s*|%\}\n?)/g;
const commentEnd = /\+#\}|-#\}\s*|#\}\n?/g;
const tagEnds = { block: /\+%\}|-%\}\s*|%\}\n?/y, print: /-\}\}\s*|\}\}/y };

const patterns: readonly (readonly [TokenType, RegExp])[] = [
  ["float", /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy],
  ["integer", /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy],
  ["name", /[\p{L}\p{Nl}_][\p{L}\p{M}\p{N}_]*/uy],
  ["string", /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y],
  ["operator", /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y],
];
const closing: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** The tokens of a template. Throws a TemplateSyntaxError. */
export function tokenize(template: string): Token[] {
  // One newline at the end of a template does not belong to it.
  const source = template.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const tokens: Token[] = [];
  let [at, line] = [0, 1];
  const advance = (to: number) => {
    for (let next = source.indexOf("\n", at); next >= 0 && next < to; next = source.indexOf("\n", next + 1)) {
      line++;
    }
    at = to;
  };
  const addText = (text: string) => {
    if (text !== "") {
      tokens.push({ type: "text", value: text, line });
    }
  };
  const find = (pattern: RegExp, missing: string) => {
    pattern.lastIndex = at;
    const found = pattern.exec(source);
    if (found === null) {
      throw new TemplateSyntaxError(missing, line);
    }
    return found;
  };

  while (at < source.length) {
    tagBegin.lastIndex = at;
    const tag = tagBegin.exec(source);
    if (tag === null) {
      addText(source.slice(at));
      break;
    }
    const [whole, rawSign, kind, sign] = tag;
    const startsLine = at === 0 || source[at - 1] === "\n";
    addText(trimmed(source.slice(at, tag.index), rawSign ?? sign ?? "", kind !== "{", startsLine));
    advance(tag.index + whole.length);
    if (kind === undefined) {
      const end = find(rawEnd, "{% raw %} is not ended");
      addText(trimmed(source.slice(at, end.index), end[1] ?? "", true, false));
      advance(end.index + end[0].length);
    } else if (kind === "#") {
      const end = find(commentEnd, "a comment is not ended");
      advance(end.index + end[0].length);
    } else {
      const surrounded = kind === "%" ? "block" : "print";
      tokens.push({ type: "begin", value: surrounded, line });
      tokenizeTag(surrounded);
    }
  }
  return tokens;

  function tokenizeTag(surrounded: "block" | "print"): void {
    const open: string[] = [];
    for (;;) {
      advance(at + (source.slice(at).match(/^\s+/)?.[0].length ?? 0));
      const end = open.length === 0 ? matchAt(tagEnds[surrounded], source, at) : undefined;
      if (end !== undefined) {
        tokens.push({ type: "end", value: surrounded, line });
        advance(at + end.length);
        return;
      }
      const token = nextToken();
      if (token.type === "operator") {
        if (token.value in closing) {
          open.push(closing[token.value] ?? "");
        } else if (")]}".includes(token.value) && open.pop() !== token.value) {
          throw new TemplateSyntaxError(`unexpected '${token.value}'`, line);
        }
      }
      tokens.push(token);
    }
  }

  function nextToken(): Token {
    for (const [type, pattern] of patterns) {
      const value = matchAt(pattern, source, at);
      if (value !== undefined) {
        const token = { type, value, line };
        advance(at + value.length);
        return token;
      }
    }
    const found = source[at];
    throw new TemplateSyntaxError(
      found === undefined ? "a tag is not ended" : `unexpected character ${JSON.stringify(found)}`,
      line,
    );
  }
}

function matchAt(pattern: RegExp, source: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
}

/** The text before a tag, without the white space that its sign, or `lstrip_blocks` before blocks, takes away. */
function trimmed(text: string, sign: string, isBlock: boolean, startsLine: boolean): string {
  if (sign === "-") {
    return text.trimEnd();
  }
  const lineStart = text.lastIndexOf("\n") + 1;
  const isIndented = (lineStart > 0 || startsLine) && /^\s*$/.test(text.slice(lineStart));
  return isBlock && sign !== "+" && isIndented ? text.slice(0, lineStart) : text;
}
