import assert from "node:assert/strict";
import { test } from "node:test";
import { continueUtf8, type Utf8State, utf8Start } from "./utf8.js";

/** Node's decoder is the oracle: bytes of any length up to four are begun, whole or wrong. */
test("sequences are valid exactly if a strict decoder takes them, however they are cut", () => {
  const interesting = [
    0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef,
    0xf0, 0xf1, 0xf4, 0xf5, 0xff,
  ];
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const isWhole = (bytes: number[]) => {
    try {
      decoder.decode(Uint8Array.from(bytes));
      return true;
    } catch {
      return false;
    }
  };
  const check = (bytes: number[]) => {
    let state: Utf8State | undefined = utf8Start;
    for (const byte of bytes) {
      state &&= continueUtf8(state, Uint8Array.of(byte));
    }
    assert.equal(state?.remaining === 0, isWhole(bytes), bytes.map((byte) => byte.toString(16)).join(" "));
    assert.deepEqual(continueUtf8(utf8Start, Uint8Array.from(bytes)), state);
  };
  for (const a of interesting) {
    check([a]);
    for (const b of interesting) {
      check([a, b]);
      for (const c of interesting) {
        check([a, b, c]);
        for (const d of interesting) {
          check([a, b, c, d]);
        }
      }
    }
  }
});
