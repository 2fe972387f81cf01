/** UTF-8 in both directions, with what Node.js and browsers both have. */

const encoder = new TextEncoder();
/** Keeps a leading byte order mark: in a file of tokens it is one. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const strictDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** The text's bytes. */
export function utf8Of(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The bytes' text; what is not UTF-8 becomes U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The bytes' text, or undefined if they are not UTF-8. */
export function strictTextOf(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Number of the text's bytes. */
export function utf8Length(text: string): number {
  return encoder.encode(text).byteLength;
}
