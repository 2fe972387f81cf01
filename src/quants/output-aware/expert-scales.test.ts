import assert from "node:assert/strict";
import { test } from "node:test";
import { fill, gaussian } from "../../testing/random.js";
import { ExpertScales, largestChange } from "./expert-scales.js";
import { loadOutputAwareKernels } from "./load.js";
import type { LayerTokens, StoredExpert } from "./scale-steps.js";

const module = loadOutputAwareKernels().module;
const [columns, width, slots] = [16, 8, 2];

/** An expert in float32, of rows of these numbers. */
function storedExpert(seed: number, factors?: { gate: Float32Array; up: Float32Array }) {
  const random = gaussian(seed);
  const matrix = (rows: number, length: number) =>
    fill(rows * length, random).map((value) => value / Math.sqrt(length));
  const [gate, up, down] = [matrix(width, columns), matrix(width, columns), matrix(columns, width)];
  const scaled = (values: Float32Array, by?: Float32Array) =>
    by ? values.map((value, i) => value * by[Math.floor(i / columns)]!) : values;
  const numbers = { gate: scaled(gate, factors?.gate), up: scaled(up, factors?.up), down };
  const stored = (values: Float32Array) => ({ type: "F32" as const, bytes: new Uint8Array(values.buffer) });
  const expert: StoredExpert = {
    width,
    gate: stored(numbers.gate),
    up: stored(numbers.up),
    down: stored(numbers.down),
  };
  return { ...numbers, expert };
}

type Numbers = Pick<ReturnType<typeof storedExpert>, "gate" | "up" | "down">;

/** What an expert adds for an input, in float64; with the derivatives by the logarithms of its rows' factors. */
function outputOf({ gate, up, down }: Numbers, input: Float32Array) {
  const product = (matrix: Float32Array, row: number, vector: ArrayLike<number>) =>
    Array.from(vector).reduce((sum, value, k) => sum + value * matrix[row * vector.length + k]!, 0);
  const neurons = Array.from({ length: width }, (_, i) => {
    const [g, u] = [product(gate, i, input), product(up, i, input)];
    const sigmoid = 1 / (1 + Math.exp(-g));
    return { hidden: g * sigmoid * u, byGate: u * g * sigmoid * (1 + g * (1 - sigmoid)) };
  });
  const hidden = neurons.map((neuron) => neuron.hidden);
  const output = Array.from({ length: columns }, (_, row) => product(down, row, hidden));
  const features = [...neurons.map(({ byGate }) => byGate), ...hidden];
  const derivatives = features.map((feature, j) =>
    Array.from({ length: columns }, (_, row) => feature * down[row * width + (j % width)]!),
  );
  return { output, derivatives };
}

/** Tokens whose second expert is ours; the residual is what the first model adds and the second does not. */
function layerOf(wanted: Numbers, own: Numbers, tokens: number) {
  const random = gaussian(9);
  const inputs = fill(tokens * columns, random);
  const factors = fill(tokens, random).map((value) => 0.5 + Math.abs(value));
  const weights = fill(tokens * slots, random).map((value) => 0.1 + Math.abs(value));
  const residual = new Float32Array(tokens * columns);
  for (let token = 0; token < tokens; token++) {
    const input = inputs.subarray(token * columns, (token + 1) * columns);
    const [a, b] = [outputOf(wanted, input).output, outputOf(own, input).output];
    for (let k = 0; k < columns; k++) {
      residual[token * columns + k] = factors[token]! * weights[token * slots + 1]! * (a[k]! - b[k]!);
    }
  }
  const layer: LayerTokens = { columns, inputs, residual, factors, slots, weights };
  return { layer, places: Uint32Array.from({ length: tokens }, (_, token) => token * slots + 1) };
}

/** Ridge regression by its normal equations and Gaussian elimination, in float64. */
function ridgeOf(
  own: Numbers,
  { inputs, residual, factors, weights }: LayerTokens,
  tokens: number,
  ridge: number,
) {
  const n = 2 * width;
  const matrix = Array.from({ length: n }, () => new Float64Array(n + 1));
  for (let token = 0; token < tokens; token++) {
    const { derivatives } = outputOf(own, inputs.subarray(token * columns, (token + 1) * columns));
    const factor = factors[token]! * weights[token * slots + 1]!;
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < columns; k++) {
        for (let j = 0; j < n; j++) {
          matrix[i]![j]! += factor * derivatives[i]![k]! * factor * derivatives[j]![k]!;
        }
        matrix[i]![n]! += factor * derivatives[i]![k]! * residual[token * columns + k]!;
      }
    }
  }
  for (let i = 0; i < n; i++) {
    matrix[i]![i]! *= 1 + ridge;
  }
  for (let i = 0; i < n; i++) {
    for (let row = 0; row < n; row++) {
      const factor = row === i ? 0 : matrix[row]![i]! / matrix[i]![i]!;
      for (let j = i; j <= n; j++) {
        matrix[row]![j]! -= factor * matrix[i]![j]!;
      }
    }
  }
  return matrix.map((row, i) => row[n]! / row[i]!);
}

const energy = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0);

/** Factors that are a little larger or smaller than 1. */
function nearOne() {
  const random = gaussian(3);
  const near = () => fill(width, random).map((value) => 1 + 0.01 * Math.max(-2, Math.min(2, value)));
  return { gate: near(), up: near() };
}

test("factors are those of the ridge regression, and what they change is taken from the residual", () => {
  const [wanted, own] = [storedExpert(5, nearOne()), storedExpert(5)];
  const tokens = 300;
  const { layer, places } = layerOf(wanted, own, tokens);
  const before = energy(layer.residual);
  const expected = ridgeOf(own, layer, tokens, 0.1 + (3 * 2 * width) / tokens);
  const again = { ...layer, residual: layer.residual.slice() };
  const found = new ExpertScales(module).fit(layer, own.expert, places);
  for (const [i, value] of [...found.gate, ...found.up].entries()) {
    assert.ok(Math.abs(value - 1 - expected[i]!) < 1e-5, `${i}: ${value - 1}, ${expected[i]}`);
  }
  assert.ok(energy(layer.residual) < 0.2 * before, `${energy(layer.residual)} of ${before} is left`);
  const scaled = storedExpert(5, found);
  const after = layerOf(wanted, scaled, tokens).layer.residual;
  assert.ok(energy(after) < 0.2 * before, "the expert with its new factors does what was promised");
  const plain = new ExpertScales(undefined).fit(again, own.expert, places);
  for (const part of ["gate", "up"] as const) {
    assert.ok(plain[part].every((value, i) => Math.abs(value - found[part][i]!) < 1e-5));
  }
});

test("the residual falls for tokens whose features are not kept as for others", () => {
  const [tokens, last] = [8400, 8192 * columns];
  const own = storedExpert(5);
  const { layer, places } = layerOf(storedExpert(5, nearOne()), own, tokens);
  const before = [layer.residual.subarray(0, last), layer.residual.subarray(last)].map(energy);
  new ExpertScales(module).fit(layer, own.expert, places);
  const after = [layer.residual.subarray(0, last), layer.residual.subarray(last)].map(energy);
  assert.ok(
    after.every((left, i) => left < 0.2 * before[i]!),
    `${after} of ${before}`,
  );
});

test("no factor goes further than the bound, and what nothing is known of stays", () => {
  const [wanted, own] = [storedExpert(6), storedExpert(7)];
  const { layer, places } = layerOf(wanted, own, 50);
  const { gate, up } = new ExpertScales(module).fit(layer, own.expert, places);
  assert.ok([...gate, ...up].every((value) => Math.abs(value - 1) <= Math.fround(largestChange) + 1e-7));
  const unseen = new ExpertScales(module).fit(layer, own.expert, new Uint32Array());
  assert.ok([...unseen.gate, ...unseen.up].every((value) => value === 1));
  own.down.fill(0);
  const silent = new ExpertScales(module).fit(layer, own.expert, places);
  assert.ok([...silent.gate, ...silent.up].every((value) => value === 1));
});
