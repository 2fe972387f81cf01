/** Made-up second moments for tests and benchmarks. */
import { packedLength } from "../quants/output-aware/packed.js";
import { gaussian } from "./random.js";

/**
 * Sums of x x^T over `tokens` random vectors whose parts in a set of directions fall off as 1 / k^decay: real
 * activations have steep spectra.
 */
export function randomMoments(columns: number, tokens: number, decay: number, seed = 1): Float32Array {
  const next = gaussian(seed);
  const rank = Math.min(columns, 32);
  const directions = Array.from({ length: rank }, (_, k) =>
    Float64Array.from({ length: columns }, () => next() / (k + 1) ** decay),
  );
  const sums = new Float32Array(packedLength(columns));
  const x = new Float64Array(columns);
  for (let token = 0; token < tokens; token++) {
    for (let i = 0; i < columns; i++) {
      x[i] = 0.5 * next();
    }
    for (const direction of directions) {
      const factor = next();
      for (let i = 0; i < columns; i++) {
        x[i]! += factor * direction[i]!;
      }
    }
    for (let i = 0, at = 0; i < columns; i++) {
      for (let j = i; j < columns; j++) {
        sums[at++]! += x[i]! * x[j]!;
      }
    }
  }
  return sums;
}

/** Sum over rows of (W - Q) H (W - Q)^T; `moments` is the whole matrix. */
export function outputError(
  weights: Float32Array,
  encoded: Float32Array,
  moments: Float32Array,
  columns: number,
): number {
  let sum = 0;
  for (let row = 0; row < weights.length; row += columns) {
    for (let i = 0; i < columns; i++) {
      let product = 0;
      for (let j = 0; j < columns; j++) {
        product += moments[i * columns + j]! * (weights[row + j]! - encoded[row + j]!);
      }
      sum += product * (weights[row + i]! - encoded[row + i]!);
    }
  }
  return sum;
}

/**
 * Moments of full rank, packed, whose eigenvalues fall off as 1 / k^decay, with cosines of mixed order as
 * eigenvectors (so that H_ij depends on i - j and i + j alone and is quick to make), and columns of different size.
 */
export function spectralMoments(columns: number, decay: number, seed = 9): Float32Array {
  const n = columns;
  // 7919 is prime: every order comes once.
  const order = Array.from({ length: n }, (_, k) => (k * 7919 + 1) % n);
  const wave = new Float64Array(2 * n);
  for (let m = 0; m < 2 * n; m++) {
    for (let k = 0; k < n; k++) {
      wave[m]! += (k + 1) ** -decay * Math.cos((Math.PI * order[k]! * m) / n);
    }
  }
  const next = gaussian(seed);
  const size = Float64Array.from({ length: n }, () => Math.exp(0.5 * next()));
  const sums = new Float32Array(packedLength(n));
  for (let i = 0, at = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      sums[at++] = size[i]! * size[j]! * (wave[j - i]! + wave[i + j + 1]!);
    }
  }
  return sums;
}
