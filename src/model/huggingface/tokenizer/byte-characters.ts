/** The printable characters that byte-level BPE writes bytes as: GPT-2's table. */

const characters: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  String.fromCodePoint(codePoint(byte)),
);

/** Bytes that print are themselves; the others follow in order from 256 on. */
function codePoint(byte: number): number {
  const prints = (one: number) => (one >= 33 && one <= 126) || (one >= 161 && one <= 172) || one >= 174;
  if (prints(byte)) {
    return byte;
  }
  let before = 0;
  for (let one = 0; one < byte; one++) {
    before += prints(one) ? 0 : 1;
  }
  return 256 + before;
}

/** Text for bytes that are given as characters up to 255. */
export function byteCharacters(bytes: string): string {
  return [...bytes].map((byte) => characters[byte.charCodeAt(0)] ?? "").join("");
}
