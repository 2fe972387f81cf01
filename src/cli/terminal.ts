/**
 * Text on its way to the terminal. Names, messages and answers may be a stranger's: what would steer the terminal,
 * reorder what it shows or pass for lines of ours is shown as an escape, and what nobody can read is cut.
 */

/** C0, DEL and C1; embeddings, overrides and isolates of direction; line separators; halves of surrogate pairs. */
const steering = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\p{Cs}]/gu;

/** Longest line printed; longer ones are no longer read. */
const longestLine = 10_000;

/** A line: also line breaks and tabs are escaped. It is cut after `longest` characters. */
export function printableLine(text: string, longest: number = longestLine): string {
  return cut(text, longest).replace(steering, escaped);
}

/** Lines of ours or of a model's answer: line breaks and tabs stay, and no line is cut that is a part of an answer. */
export function printableText(text: string, longest: number = longestLine): string {
  return text
    .split("\n")
    .map((line) => cut(line, longest).replace(steering, (found) => (found === "\t" ? found : escaped(found))))
    .join("\n");
}

/** JSON on one line: what `JSON.stringify` leaves as it is but a terminal would obey is escaped, as JSON can. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(steering, (found) => `\\u${hex(found).padStart(4, "0")}`);
}

function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest)}... (${text.length} characters)`;
}

function escaped(found: string): string {
  return found === "\n" ? "\\n" : found === "\t" ? "\\t" : `\\u{${hex(found)}}`;
}

function hex(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16);
}
