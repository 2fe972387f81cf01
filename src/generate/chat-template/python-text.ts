/** Texts as Python writes and reads them. */

const escapes: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** What Python's `unicode-escape` makes of the inside of a literal; unknown escapes stay. */
export function unescapeText(text: string): string {
  return text.replace(
    /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\s\S]))/g,
    (whole, octal?: string, byte?: string, short?: string, long?: string, single?: string) => {
      const hexadecimal = byte ?? short ?? long;
      if (octal !== undefined || hexadecimal !== undefined) {
        const code = octal !== undefined ? Number.parseInt(octal, 8) : Number.parseInt(hexadecimal ?? "", 16);
        return code > 0x10ffff ? whole : String.fromCodePoint(code);
      }
      return escapes[single ?? ""] ?? whole;
    },
  );
}

/** Python's `repr` of a text. */
export function pythonQuoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const names: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };
  const escaped = text.replace(/[\p{C}\p{Z}\\'"]/gu, (character) => {
    if (character === " ") {
      return character;
    }
    if (character === '"' || character === "'") {
      return character === quote ? `\\${character}` : character;
    }
    return names[character] ?? numericEscape(character.codePointAt(0) ?? 0);
  });
  return `${quote}${escaped}${quote}`;
}

function numericEscape(code: number): string {
  const hexadecimal = code.toString(16);
  if (code < 0x100) {
    return `\\x${hexadecimal.padStart(2, "0")}`;
  }
  return code < 0x10000 ? `\\u${hexadecimal.padStart(4, "0")}` : `\\U${hexadecimal.padStart(8, "0")}`;
}
