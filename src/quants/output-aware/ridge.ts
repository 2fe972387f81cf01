/** Ridge regression from its normal equations, in the scale of the features: one parameter for all of them. */
import { Heap } from "../../wasm/heap.js";
import { Dense } from "./dense.js";
import { choleskyReversed } from "./linear-algebra.js";

/** Sizes of matrices in SIMD are multiples of this. */
const sizeMultiple = 64;

/** Solves systems (M + ridge diag M) x = b, in SIMD if there is a module for it. What M has nothing of stays zero. */
export class RidgeSolver {
  readonly #module: WebAssembly.Module | undefined;
  #latest: { readonly size: number; readonly dense: Dense; readonly matrix: Float32Array } | undefined;
  #root: Float32Array | Float64Array = new Float64Array();
  /** One over the roots of M's diagonal. */
  #scales = new Float64Array();

  constructor(module: WebAssembly.Module | undefined) {
    this.#module = module;
  }

  /** Bytes of memory that matrices of n rows take. */
  static bytes(n: number): number {
    const size = sizeOf(n);
    return Float32Array.BYTES_PER_ELEMENT * (size * size + Dense.size(size));
  }

  /** Takes M, n x n, positive semidefinite; the upper triangle is read. */
  factorize(matrix: Float32Array, n: number, ridge: number): void {
    const size = sizeOf(n);
    const scales = Float64Array.from({ length: n }, (_, i) =>
      matrix[i * n + i]! > 0 ? 1 / Math.sqrt(matrix[i * n + i]!) : 0,
    );
    const scaled = this.#matrix(size);
    for (let i = 0; i < size; i++) {
      for (let j = i + 1; j < n; j++) {
        scaled[i * size + j] = matrix[i * n + j]! * scales[i]! * scales[j]!;
      }
      scaled[i * size + i] = 1 + ridge;
    }
    this.#root = this.#rootOf(scaled, size);
    this.#scales = scales;
  }

  /** x of the system whose M was taken last. */
  solve(b: Float64Array): Float64Array {
    const scales = this.#scales;
    const x = new Float64Array(sizeOf(b.length));
    x.set(b.map((value, i) => value * scales[i]!));
    solveWithRoot(this.#root, x.length, x);
    return x.subarray(0, b.length).map((value, i) => value * scales[i]!);
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

  #rootOf(matrix: Float32Array | Float64Array, size: number): Float32Array | Float64Array {
    if (matrix instanceof Float64Array) {
      return choleskyReversed(matrix, size);
    }
    this.#latest?.dense.choleskyReversed(matrix);
    return matrix;
  }
}

function sizeOf(n: number): number {
  return Math.ceil(n / sizeMultiple) * sizeMultiple;
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
