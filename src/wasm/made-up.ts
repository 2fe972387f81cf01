/** Questions and answers of known-answer tests: numbers that are the same on every machine, and a hash of results. */

/** Numbers in [0, 1) that look random and are the same everywhere (a linear congruential generator). */
export function madeUpNumbers(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
}

/** FNV-1a over the 32-bit words of some values, in hexadecimal; all NaN count as one, since their bits are free. */
export function hashOf(values: Float32Array | Float64Array | Uint32Array | Uint8Array): string {
  const words = values instanceof Uint8Array ? Uint32Array.from(values) : wordsOf(values);
  let state = 0x811c9dc5;
  for (const word of words) {
    state = Math.imul(state ^ word, 0x01000193);
  }
  return (state >>> 0).toString(16).padStart(8, "0");
}

function wordsOf(values: Float32Array | Float64Array | Uint32Array): Uint32Array {
  if (values instanceof Float32Array) {
    return new Uint32Array(values.map((value) => (Number.isNaN(value) ? Number.NaN : value)).buffer);
  }
  return new Uint32Array(values.slice().buffer);
}
