/** Ridge regression from its normal equations, in the scale of the features: one parameter for all of them. */
import { Heap } from "../../wasm/heap.js";
import { Dense } from "./dense.js";
import { choleskyReversed } from "./linear-algebra.js";

/** Sizes of matrices in SIMD are multiples of this. */
const sizeMultiple = 64;

/** Solves systems, in SIMD if there is a module for it. */
export class RidgeSolver {
  readonly #module: WebAssembly.Module | undefined;
  #latest: { readonly size: number; readonly dense: Dense; readonly matrix: Float32Array } | undefined;

  constructor(module: WebAssembly.Module | undefined) {
    this.#module = module;
  }

  /**
   * x with (M + ridge diag M) x = b. What M has nothing of stays zero.
   * @param matrix M, n x n, positive semidefinite; the upper triangle is read
   */
  solve(matrix: Float32Array, b: Float64Array, ridge: number): Float64Array {
    const n = b.length;
    const size = Math.ceil(n / sizeMultiple) * sizeMultiple;
    const scales = Float64Array.from(b, (_, i) =>
      matrix[i * n + i]! > 0 ? 1 / Math.sqrt(matrix[i * n + i]!) : 0,
    );
    const scaled = this.#matrix(size);
    for (let i = 0; i < size; i++) {
      for (let j = i + 1; j < n; j++) {
        scaled[i * size + j] = matrix[i * n + j]! * scales[i]! * scales[j]!;
      }
      scaled[i * size + i] = 1 + ridge;
    }
    const root = this.#factorize(scaled, size);
    const x = new Float64Array(size);
    x.set(b.map((value, i) => value * scales[i]!));
    solveWithRoot(root, size, x);
    return x.subarray(0, n).map((value, i) => value * scales[i]!);
  }

  /** A matrix of zeros. */
  #matrix(size: number): Float32Array | Float64Array {
    if (this.#module === undefined) {
      return new Float64Array(size * size);
    }
    if (this.#latest?.size !== size) {
      const heap = new Heap(this.#module);
      const buffer = heap.reserve(4 * (size * size + Dense.size(size)));
      const matrix = new Float32Array(buffer, heap.base, size * size);
      this.#latest = { size, dense: new Dense(heap, heap.base + matrix.byteLength, size), matrix };
    }
    return this.#latest.matrix.fill(0);
  }

  #factorize(matrix: Float32Array | Float64Array, size: number): Float32Array | Float64Array {
    if (matrix instanceof Float64Array) {
      return choleskyReversed(matrix, size);
    }
    this.#latest?.dense.choleskyReversed(matrix);
    return matrix;
  }
}

/** Replaces x by the solution of R R^T y = x, for an upper triangular R. */
function solveWithRoot(root: Float32Array | Float64Array, n: number, x: Float64Array): void {
  for (let i = n - 1; i >= 0; i--) {
    let left = x[i]!;
    for (let j = i + 1; j < n; j++) {
      left -= root[i * n + j]! * x[j]!;
    }
    x[i] = left / root[i * n + i]!;
  }
  for (let i = 0; i < n; i++) {
    const value = x[i]! / root[i * n + i]!;
    x[i] = value;
    for (let j = i + 1; j < n; j++) {
      x[j]! -= root[i * n + j]! * value;
    }
  }
}
