/**
 * What the encoder needs to know of an input's second moments H = sum x x^T (any scale), prepared once for all rows.
 *
 * With U unit upper triangular in blocks ("units", the weights that are chosen together) and S block diagonal,
 * H = U S U^T, so for an error row e = w - q, in the order of the columns,
 *
 *     e H e^T = sum over units u of (t_u - q_u) S_u (t_u - q_u)^T,   t_u = w_u + sum over earlier units i of e_i U_iu:
 *
 * the cost of a unit, given the errors of those before it, with those after it making up for it as well as they
 * can. This is GPTQ's error feedback (Frantar et al. 2022; as LDLQ, Chee et al. 2023) without an inverse.
 *
 * In float64 and plain: what `factor-memory.ts` computes in SIMD, and what runs where there is none.
 */
import { choleskyReversed, invertSymmetric, invertUpper, timesTransposed } from "./linear-algebra.js";

export interface Factor {
  readonly columns: number;
  /** Weights chosen together. */
  readonly unit: number;
  /** H, scaled to a mean of 1 on the diagonal, with the ridge added there; row after row. */
  readonly moments: Float32Array;
  /** U, row after row; zero up to the end of the row's own unit. */
  readonly feedback: Float32Array;
  /** S: `unit` values for each row. */
  readonly conditional: Float32Array;
  /** Inverses of the diagonal blocks of H: `unit` values for each row. */
  readonly inverses: Float32Array;
  /** mu (H + mu)^-1, mu the mean of H's diagonal: what is left of a row in the directions that inputs hardly have. */
  readonly faint: Float32Array;
}

/**
 * Factorizes moments.
 * Throws a MalformedInputError if the moments are not positive semidefinite.
 * @param moments n x n, symmetric, finite; the upper triangle is read
 * @param ridge added to the diagonal once its mean is 1: few tokens leave directions without any moments
 */
export function factorize(moments: Float32Array, columns: number, unit: number, ridge: number): Factor {
  const n = columns;
  const damped = dampedMoments(moments, n, ridge);
  const root = choleskyReversed(Float64Array.from(damped), n);
  const faint = faintPart(damped, n, 1 + ridge);
  const conditional = new Float32Array(n * unit);
  const inverses = new Float32Array(n * unit);
  const feedback = new Float32Array(n * n);
  for (let from = 0; from < n; from += unit) {
    const block = blockOf(root, n, from, unit);
    const inverse = invertUpper(block, unit);
    conditional.set(timesTransposed(block, unit), from * unit);
    inverses.set(invertSymmetric(blockOf(damped, n, from, unit), unit), from * unit);
    for (let i = 0; i < from; i++) {
      for (let j = 0; j < unit; j++) {
        let sum = 0;
        for (let k = 0; k <= j; k++) {
          sum += root[i * n + from + k]! * inverse[k * unit + j]!;
        }
        feedback[i * n + from + j] = sum;
      }
    }
  }
  return { columns, unit, moments: damped, feedback, conditional, inverses, faint };
}

/** H with a mean of 1 on the diagonal (float32 is then far from its limits), and the ridge. */
function dampedMoments(moments: Float32Array, n: number, ridge: number): Float32Array {
  const inverseMean = inverseMeanOf(moments, n);
  const damped = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      damped[i * n + j] = moments[i * n + j]! * inverseMean;
      damped[j * n + i] = damped[i * n + j]!;
    }
    damped[i * n + i]! += ridge;
  }
  return damped;
}

/** One over the mean of a matrix's diagonal. */
export function inverseMeanOf(moments: Float32Array, n: number): number {
  let trace = 0;
  for (let i = 0; i < n; i++) {
    trace += moments[i * n + i]!;
  }
  return n / trace;
}

function faintPart(damped: Float32Array, n: number, mu: number): Float32Array {
  const shifted = Float64Array.from(damped);
  for (let i = 0; i < n; i++) {
    shifted[i * n + i]! += mu;
  }
  return Float32Array.from(invertSymmetric(shifted, n), (value) => mu * value);
}

function blockOf(a: Float32Array | Float64Array, n: number, from: number, size: number): Float64Array {
  const block = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    block.set(a.subarray((from + i) * n + from, (from + i) * n + from + size), i * size);
  }
  return block;
}
