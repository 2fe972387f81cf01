import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { MalformedInputError } from "../../errors.js";
import { ggmlDecode } from "../../testing/ggml.js";
import { outputError, randomMoments } from "../../testing/moments.js";
import { fill, gaussian } from "../../testing/random.js";
import { decodeRows, encodeRows } from "../codec.js";
import { buildGrid } from "../grid-search.js";
import { sharedInput } from "../shared-input.js";
import { rowBytes, type TypeName } from "../types.js";
import { defaultOptions, OutputAwareEncoder } from "./encode-row.js";
import { factorize } from "./factor.js";
import type { BlockFormat } from "./format.js";
import { formats } from "./formats.js";
import { choleskyReversed } from "./linear-algebra.js";
import { loadOutputAwareKernels } from "./load.js";
import { unpackSymmetric } from "./packed.js";
import { Refiner } from "./refine.js";
import { OutputAwareKernels } from "./simd.js";

const types = Object.keys(formats) as TypeName[];
const plain = { ...defaultOptions, inflation: 0 };
const { module: kernels } = loadOutputAwareKernels();

/** Rows, what the diagonal encoder makes of them, and moments of their input. */
function sample(type: TypeName, columns: number, rows: number) {
  const weights = fill(rows * columns, gaussian(7));
  const sums = randomMoments(columns, 2 * columns, 0.7);
  const moments = unpackSymmetric(sums, columns);
  const importance = Float32Array.from({ length: columns }, (_, i) => moments[i * columns + i]!);
  const encoded = new Uint8Array(rows * rowBytes(type, columns));
  encodeRows(type, weights, columns, importance, encoded);
  const start = decoded(type, encoded, weights.length);
  return { weights, sums, moments, encoded, start };
}

function decoded(type: TypeName, bytes: Uint8Array, count: number): Float32Array {
  const values = new Float32Array(count);
  decodeRows(type, bytes, values);
  return values;
}

/** A matrix times 2^14 in int16 tiles: (tile, pair of rows, column, row of the pair). */
function fromRoundedTiles(tiles: Float32Array, n: number): Float32Array {
  const values = new Int16Array(tiles.buffer, tiles.byteOffset, n * n);
  return Float32Array.from({ length: n * n }, (_, i) => {
    const [row, column] = [Math.floor(i / n), i % n];
    const at = (column - (column % 8)) * n + 8 * (row - (row % 2)) + 2 * (column % 8) + (row % 2);
    return values[at]! / 2 ** 14;
  });
}

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.abs(expected), `${actual} is not ${expected}`);
}

describe("the factor", () => {
  const columns = 64;
  const moments = unpackSymmetric(randomMoments(columns, 100, 0.5), columns);

  it("turns e H e^T into a sum over units, each given those before it", () => {
    for (const unit of [1, 4, 8]) {
      const factor = factorize(moments, columns, unit, 0.1);
      const error = fill(columns, gaussian(3));
      let sum = 0;
      for (let from = 0; from < columns; from += unit) {
        const rest = Array.from({ length: unit }, (_, j) => {
          let value = error[from + j]!;
          for (let i = 0; i < from; i++) {
            value += error[i]! * factor.feedback[i * columns + from + j]!;
          }
          return value;
        });
        for (const [i, a] of rest.entries()) {
          for (const [j, b] of rest.entries()) {
            sum += a * b * factor.conditional[(from + i) * unit + j]!;
          }
        }
      }
      near(sum, outputError(error, new Float32Array(columns), factor.moments, columns), 1e-5);
    }
  });

  it("comes out the same in blocks and SIMD", { skip: !kernels }, () => {
    const n = 256;
    const large = unpackSymmetric(randomMoments(n, 300, 0.5), n);
    for (const [unit, type] of [
      [1, "Q3_K"],
      [4, "IQ3_S"],
      [8, "IQ2_S"],
    ] as const) {
      const plain = factorize(large, n, unit, 0.1);
      const simd = new OutputAwareKernels(kernels!);
      simd.prepare(type, { moments: large, columns: n, ridge: 0.1 });
      const views = simd.factor;
      const deviations = Float64Array.from(
        plain.moments.filter((_, i) => i % (n + 1) === 0),
        Math.sqrt,
      );
      const cases = [
        [plain.moments, views.nearMoments],
        [plain.feedback, views.nearFeedback],
        [plain.conditional, views.conditional],
        [plain.inverses, views.inverses],
        [plain.faint, fromRoundedTiles(views.faint, n)],
        [
          plain.feedback.map(
            (value, i) => value / deviations[Math.floor(i / n)]! / (views.feedbackScales[i % n]! || 1),
          ),
          fromRoundedTiles(views.feedback, n),
        ],
        [
          plain.moments.map((value, i) => value / deviations[Math.floor(i / n)]! / deviations[i % n]!),
          fromRoundedTiles(views.correlations, n),
        ],
      ] as const;
      for (const [k, [wanted, found]] of cases.entries()) {
        const size = Math.sqrt(wanted.reduce((sum, value) => sum + value * value, 0) / wanted.length);
        const tolerance = k < 4 ? 1e-3 * size : 1e-3 * size + 2 ** -14;
        for (const [i, value] of wanted.entries()) {
          assert.ok(Math.abs(value - found[i]!) < tolerance, `${type} ${k} ${i}: ${value}, ${found[i]}`);
        }
      }
    }
  });

  it("is a Cholesky factorization from the last column on", () => {
    const a = Float64Array.from(moments, (value, i) => value + (i % (columns + 1) === 0 ? 1 : 0));
    const r = choleskyReversed(a, columns);
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        if (j < i) {
          assert.equal(r[i * columns + j], 0);
        }
        let sum = 0;
        for (let k = 0; k < columns; k++) {
          sum += r[i * columns + k]! * r[j * columns + k]!;
        }
        assert.ok(Math.abs(sum - a[i * columns + j]!) < 1e-9 * a[0]!);
      }
    }
  });

  it("refuses a matrix that is not of any inputs", () => {
    const indefinite = moments.slice();
    indefinite[0] = -1000;
    assert.throws(
      () => factorize(indefinite, columns, 8, 0.1),
      (error) => error instanceof MalformedInputError && /are not those of any inputs/.test(error.message),
    );
  });
});

describe("the grid's choice", () => {
  it("is the best of all points and signs, one after the other", () => {
    for (const type of ["IQ2_S", "IQ3_S"] as const) {
      const format = formats[type] as BlockFormat;
      const grid = buildGrid(type);
      const next = gaussian(11);
      for (let round = 0; round < 20; round++) {
        const targets = Float64Array.from({ length: grid.group }, () => 3 * next());
        const weights = Float64Array.from({ length: grid.group }, () => Math.exp(next()));
        const chosen = new Float64Array(grid.group);
        format.choose(targets, weights, 0, 0.9, chosen, 0);
        const cost = (value: (i: number) => number) =>
          weights.reduce((sum, weight, i) => sum + weight * (targets[i]! - 0.9 * value(i)) ** 2, 0);
        let least = Infinity;
        for (let point = 0; point < grid.magnitudes.length / grid.group; point++) {
          for (let signs = 0; signs < 1 << grid.group; signs++) {
            const value = (i: number) =>
              (signs >> i) & 1
                ? -grid.magnitudes[point * grid.group + i]!
                : grid.magnitudes[point * grid.group + i]!;
            if (grid.group === 4 || signs % 17 === 0 || round === 0) {
              least = Math.min(least, cost(value));
            }
          }
        }
        assert.ok(cost((i) => chosen[i]!) <= least * (1 + 1e-6));
      }
    }
  });
});

for (const type of types) {
  describe(`${type} with moments`, () => {
    it("knows its cost: it is (W - Q) H (W - Q)^T of what llama.cpp decodes", () => {
      const { weights, moments, encoded } = sample(type, 512, 1);
      const factor = factorize(moments, 512, formats[type]!.unit, 0.1);
      const encoder = new OutputAwareEncoder(type, factor, plain);
      encoder.encodeRow(weights, encoded);
      const values = ggmlDecode(type, encoded, 512);
      near(encoder.cost(), outputError(weights, values, factor.moments, 512), 1e-4);
    });

    it("has far smaller output errors than with importance alone", () => {
      const { weights, moments, encoded, start } = sample(type, 256, 4);
      const before = outputError(weights, start, moments, 256);
      const factor = factorize(moments, 256, formats[type]!.unit, 0.1);
      new OutputAwareEncoder(type, factor).encodeRows(weights, encoded);
      const after = outputError(weights, decoded(type, encoded, weights.length), moments, 256);
      assert.ok(after < 0.75 * before, `${after} of ${before}`);
    });

    it("gains as much in SIMD, with bytes that do not depend on the other rows", { skip: !kernels }, () => {
      const count = 10;
      const { weights, moments, encoded, start } = sample(type, 512, count);
      const factor = factorize(moments, 512, formats[type]!.unit, 0.1);
      const reference = encoded.slice();
      new OutputAwareEncoder(type, factor).encodeRows(weights, reference);
      const simd = new OutputAwareKernels(kernels!);
      simd.prepare(type, { moments, columns: 512, ridge: 0.1 });
      const whole = encoded.slice();
      simd.encodeRows(weights, start, whole, defaultOptions);
      const error = (bytes: Uint8Array) =>
        outputError(weights, decoded(type, bytes, weights.length), factor.moments, 512);
      near(error(whole), error(reference), 0.02);
      const stride = rowBytes(type, 512);
      const apart = encoded.slice();
      for (let row = 0; row < count; row++) {
        const part = weights.slice(row * 512, (row + 1) * 512);
        const own = apart.subarray(row * stride, (row + 1) * stride);
        simd.encodeRows(part, start.slice(row * 512), own, defaultOptions);
      }
      assert.deepEqual(apart, whole);
    });

    it("leaves rows of zeros, and inputs that were never seen, as they are", () => {
      const zeros = new Float32Array(256);
      const encoded = new Uint8Array(rowBytes(type, 256));
      encodeRows(type, zeros, 256, undefined, encoded);
      const sums = randomMoments(256, 300, 0.7);
      for (const module of [undefined, kernels]) {
        const out = encoded.slice();
        const refiner = new Refiner({ module, isRight: () => true });
        refiner.refine(type, 256, { name: "seen", sums: sharedInput(sums), vectors: 300 }, zeros, zeros, out);
        assert.deepEqual(decoded(type, out, 256), decoded(type, encoded, 256));
        const row = fill(256, gaussian(5));
        encodeRows(type, row, 256, undefined, out);
        const before = out.slice();
        const never = { name: "never", sums: sharedInput(new Float32Array(sums.length)), vectors: 0 };
        refiner.refine(type, 256, never, row, decoded(type, out, 256), out);
        assert.deepEqual(out, before);
      }
    });
  });
}

test("after enough passes, no other code of any single weight would be better (Q3_K)", () => {
  const { weights, moments, encoded } = sample("Q3_K", 256, 1);
  const factor = factorize(moments, 256, 1, 0.1);
  new OutputAwareEncoder("Q3_K", factor, { ...plain, passes: 20 }).encodeRow(weights, encoded);
  const values = decoded("Q3_K", encoded, 256);
  const least = outputError(weights, values, factor.moments, 256);
  for (let i = 0; i < 256; i += 5) {
    const from = i - (i % 16);
    // The block's step: the least difference between two of its values.
    const sorted = [...new Set(values.slice(from, from + 16))].sort((a, b) => a - b);
    const step = Math.min(...sorted.slice(1).map((value, k) => value - sorted[k]!));
    for (const code of [-1, 1]) {
      const other = values.slice();
      other[i]! += code * step;
      const inRange = other[i]! >= sorted[0]! - step / 2 && other[i]! <= sorted.at(-1)! + step / 2;
      if (inRange) {
        assert.ok(outputError(weights, other, factor.moments, 256) >= least * (1 - 1e-6));
      }
    }
  }
});
