/** Whether bytes are UTF-8, token by token: llama.cpp's grammars also take overlong forms, which no reader does. */

/** What must come next: so many continuation bytes, the first of them in a range. */
export interface Utf8State {
  readonly remaining: number;
  readonly low: number;
  readonly high: number;
}

/** Between two characters. */
export const utf8Start: Utf8State = { remaining: 0, low: 0x80, high: 0xbf };

/** The state after more bytes; undefined if they are not UTF-8. */
export function continueUtf8(state: Utf8State, bytes: Uint8Array): Utf8State | undefined {
  let { remaining, low, high } = state;
  for (const byte of bytes) {
    if (remaining > 0) {
      if (byte < low || byte > high) {
        return undefined;
      }
      remaining--;
      low = 0x80;
      high = 0xbf;
    } else if (byte >= 0x80) {
      if (byte < 0xc2 || byte > 0xf4) {
        return undefined;
      }
      remaining = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
      // Overlong forms, surrogates, and what lies beyond U+10FFFF.
      low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
      high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
    }
  }
  return { remaining, low, high };
}
