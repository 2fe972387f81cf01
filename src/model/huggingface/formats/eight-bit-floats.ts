/** The values of 8-bit floats by their bits: OCP "8-bit Floating Point Specification", E4M3 and E5M2. */

/** E4M3 has no infinities: only all ones is not a number. */
export const e4m3Values: Float32Array = Float32Array.from({ length: 256 }, (_, bits) =>
  (bits & 127) === 127 ? Number.NaN : decoded(bits, { exponentBits: 4, fractionBits: 3, bias: 7 }),
);

export const e5m2Values: Float32Array = Float32Array.from({ length: 256 }, (_, bits) => {
  if ((bits & 0x7c) === 0x7c) {
    return (bits & 3) === 0 ? (bits & 128 ? -Infinity : Infinity) : Number.NaN;
  }
  return decoded(bits, { exponentBits: 5, fractionBits: 2, bias: 15 });
});

function decoded(
  bits: number,
  layout: { readonly exponentBits: number; readonly fractionBits: number; readonly bias: number },
): number {
  const { exponentBits, fractionBits, bias } = layout;
  const sign = bits & 128 ? -1 : 1;
  const exponent = (bits >> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}
