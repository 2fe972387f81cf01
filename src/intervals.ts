/** Quantiles that intervals are made of. */

/** Two-sided 95 % quantiles of Student's t for one to nine degrees of freedom. */
const fewDegrees = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622];

/** Beyond those by Hill's expansion around the normal quantile (Abramowitz and Stegun, 26.7.5): right to 0.001. */
export function studentQuantile(degrees: number): number {
  const exact = fewDegrees[degrees - 1];
  if (exact !== undefined) {
    return exact;
  }
  const z = 1.959964;
  const [z3, z5, z7] = [z ** 3, z ** 5, z ** 7];
  return (
    z +
    (z3 + z) / (4 * degrees) +
    (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees ** 2) +
    (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * degrees ** 3)
  );
}
