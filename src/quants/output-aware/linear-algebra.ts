/**
 * Dense linear algebra in float64, plain: small blocks of the factors, and the reference of what `dense.ts` computes in
 * SIMD. Matrices are square, n x n, by rows.
 */
import { MalformedInputError } from "../../errors.js";

/** R with R R^T = a, upper triangular: the last column is eliminated first. */
export function choleskyReversed(a: Float64Array, n: number): Float64Array {
  const r = new Float64Array(n * n);
  for (let j = n - 1; j >= 0; j--) {
    const square = a[j * n + j]! - dot(r, j * n, j * n, j + 1, n);
    if (!(square > 0)) {
      throw new MalformedInputError(
        `the second moments are not those of any inputs (column ${j} has ${square} left); collect them again.`,
      );
    }
    const pivot = Math.sqrt(square);
    r[j * n + j] = pivot;
    for (let i = 0; i < j; i++) {
      r[i * n + j] = (a[i * n + j]! - dot(r, i * n, j * n, j + 1, n)) / pivot;
    }
  }
  return r;
}

/** Scalar product of columns [from, to) of two rows. */
function dot(r: Float64Array, a: number, b: number, from: number, to: number): number {
  let sum = 0;
  for (let k = from; k < to; k++) {
    sum += r[a + k]! * r[b + k]!;
  }
  return sum;
}

/** Inverse of a symmetric positive definite matrix. */
export function invertSymmetric(a: Float64Array, n: number): Float64Array {
  const inverse = invertUpper(choleskyReversed(a, n), n);
  // a = R R^T, so a^-1 = R^-T R^-1.
  const product = new Float64Array(n * n);
  for (let k = 0; k < n; k++) {
    for (let i = k; i < n; i++) {
      const factor = inverse[k * n + i]!;
      for (let j = k; j < n; j++) {
        product[i * n + j]! += factor * inverse[k * n + j]!;
      }
    }
  }
  return product;
}

/** Inverse of an upper triangular matrix. */
export function invertUpper(r: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n);
  for (let i = n - 1; i >= 0; i--) {
    const pivot = 1 / r[i * n + i]!;
    for (let k = i + 1; k < n; k++) {
      const factor = -pivot * r[i * n + k]!;
      for (let j = k; j < n; j++) {
        inverse[i * n + j]! += factor * inverse[k * n + j]!;
      }
    }
    inverse[i * n + i] = pivot;
  }
  return inverse;
}

/** r r^T. */
export function timesTransposed(r: Float64Array, n: number): Float64Array {
  const product = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      product[i * n + j] = dot(r, i * n, j * n, 0, n);
    }
  }
  return product;
}
