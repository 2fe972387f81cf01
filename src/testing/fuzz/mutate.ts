/** Damaged copies of sound files, as fast-check arbitraries, so that a failure is shrunk and can be repeated. */
import fc from "fast-check";

/** Numbers at which readers break: limits of integer types, of float64's whole numbers, NaN. */
const extremes = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0xffffn,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
  0x7ff8000000000000n,
  0x7fc00000n,
] as const;

type Change =
  | { readonly kind: "overwrite" | "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "number"; readonly at: number; readonly value: bigint; readonly size: 1 | 2 | 4 | 8 }
  | { readonly kind: "cut" | "repeat"; readonly at: number; readonly length: number };

/**
 * Copies of `sound` with one to four changes: bytes overwritten or put in, among them the words of `dictionary`,
 * numbers replaced by extreme ones, stretches cut out or repeated, and the end cut off. Changes fall on the first
 * `reach` bytes, where the structure of the file lies.
 */
export function mutated(
  sound: Uint8Array,
  { dictionary = [], reach = sound.byteLength }: { dictionary?: readonly string[]; reach?: number } = {},
): fc.Arbitrary<Uint8Array> {
  // fast-check prefers small numbers, but behind a broken first byte nothing is reached.
  const at = fc.noBias(fc.nat(Math.max(0, reach - 1)));
  const word = fc
    .constantFrom(...(dictionary.length > 0 ? dictionary : ["\0"]))
    .map((text) => Buffer.from(text));
  const bytes = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 12 }), word);
  const change: fc.Arbitrary<Change> = fc.oneof(
    fc.record({ kind: fc.constantFrom("overwrite" as const, "insert" as const), at, bytes }),
    fc.record({
      kind: fc.constant("number" as const),
      at,
      value: fc.constantFrom(...extremes),
      size: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
    }),
    fc.record({ kind: fc.constantFrom("cut" as const, "repeat" as const), at, length: fc.nat(200) }),
  );
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  const whole = fc.constant(Number.POSITIVE_INFINITY);
  const end = fc.oneof({ arbitrary: whole, weight: 9 }, { arbitrary: fc.nat(sound.byteLength), weight: 1 });
  return fc.tuple(changes, end).map(([list, cut]) => list.reduce(apply, sound).slice(0, cut));
}

function apply(file: Uint8Array, change: Change): Uint8Array {
  const at = Math.min(change.at, file.byteLength);
  switch (change.kind) {
    case "insert":
      return Buffer.concat([file.subarray(0, at), change.bytes, file.subarray(at)]);
    case "cut":
      return Buffer.concat([file.subarray(0, at), file.subarray(at + change.length)]);
    case "repeat":
      return Buffer.concat([file.subarray(0, at + change.length), file.subarray(at)]);
    default: {
      const bytes = change.kind === "number" ? littleEndian(change.value, change.size) : change.bytes;
      const copy = Buffer.from(file);
      copy.set(bytes.subarray(0, file.byteLength - at), at);
      return copy;
    }
  }
}

function littleEndian(value: bigint, size: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.subarray(0, size);
}
