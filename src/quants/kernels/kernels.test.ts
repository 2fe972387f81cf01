import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { ggmlDecode } from "../../testing/ggml.js";
import { fill, gaussian, laplacian, uniform } from "../../testing/random.js";
import { decodeRows, encodeRows } from "../codec.js";
import { measureRows } from "../measure.js";
import { rowBytes, type TypeName, traitsOf, types } from "../types.js";
import { Workspace } from "../workspace.js";
import type { Kernels } from "./kernels.js";
import { loadKernels, newKernels } from "./load.js";

const decodable = [...types.values()].filter((traits) => traits.canDecode);

/** The bits of every number, all NaN alike. */
function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.map((value) => (Number.isNaN(value) ? Number.NaN : value)).buffer);
}

/** Weights that are hard on rounding: every size, subnormal, zero, ties. */
function awkward(count: number): Float32Array {
  const next = gaussian(11);
  const size = uniform(12);
  return fill(count, () => {
    const kind = size();
    if (kind < 0.05) {
      return 0;
    }
    if (kind < 0.1) {
      return -0;
    }
    if (kind < 0.2) {
      return Math.round(next() * 64) / 128;
    }
    return next() * 2 ** Math.floor(40 * size() - 30);
  });
}

describe("the kernels", () => {
  let kernels: Kernels;
  let workspace: Workspace;

  before(() => {
    const found = newKernels();
    assert.ok(found, loadKernels().warning);
    kernels = found;
    workspace = new Workspace(kernels);
  });

  it("pass their self-test on this machine", () => {
    assert.equal(loadKernels().examine().warning, undefined);
  });

  it("decode every type that can be decoded", () => {
    for (const { name } of decodable) {
      assert.ok(kernels.decoder(name), name);
    }
  });

  for (const { name, blockSize, blockBytes } of decodable) {
    it(`decode random blocks of ${name} to the reference's bits`, () => {
      // A number of weights that is no multiple of four where the type allows it; a row that is not aligned.
      const blocks = 2048 / blockSize + 1;
      const next = uniform(21);
      workspace.arrange(blocks * blockSize, 1, blocks * blockBytes + 1, 0);
      const bytes = workspace.source.subarray(1);
      for (let i = 0; i < bytes.length; i++) {
        bytes[i] = 256 * next();
      }
      workspace.decode(name, bytes, workspace.weights);
      const expected = new Float32Array(blocks * blockSize);
      decodeRows(name, bytes, expected);
      assert.deepEqual(bits(workspace.weights), bits(expected));
      if (name !== "F32") {
        assert.deepEqual(bits(expected), bits(ggmlDecode(name, bytes.slice(), expected.length)));
      }
    });
  }

  it("decode every F16 and BF16 number to the reference's bits", () => {
    for (const type of ["F16", "BF16"] as const) {
      workspace.arrange(65536, 1, 2 * 65536, 0);
      const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
      workspace.source.set(new Uint8Array(all.buffer));
      workspace.decode(type, workspace.source, workspace.weights);
      const expected = new Float32Array(65536);
      decodeRows(type, workspace.source, expected);
      assert.deepEqual(bits(workspace.weights), bits(expected));
    }
  });

  const sameBytes: TypeName[] = ["F32", "F16", "BF16", "Q8_0", "MXFP4", "NVFP4", "TQ1_0", "TQ2_0"];
  for (const type of sameBytes) {
    it(`encode ${type} to the reference's bytes`, () => {
      const columns = traitsOf(type).quantized ? 4096 : 4099;
      for (const weights of [awkward(columns), fill(columns, laplacian(5)), halves(columns)]) {
        const size = rowBytes(type, columns);
        workspace.arrange(columns, 1, 0, size);
        workspace.weights.set(weights);
        workspace.encode(type, workspace.weights, columns, undefined, "default", workspace.encoded);
        const expected = new Uint8Array(size);
        encodeRows(type, weights, columns, undefined, expected);
        assert.deepEqual(workspace.encoded, expected);
      }
    });
  }

  it("measure exactly what the reference measures, of weights of any size", () => {
    const columns = 516;
    const sizes = [1, 1e-30, 1e-12, 1e20, 3e37, 0];
    const weights = sizes.flatMap((size) => [...fill(columns, laplacian(1)).map((value) => size * value)]);
    workspace.arrange(columns, sizes.length, 0, 0);
    workspace.weights.set(weights);
    workspace.decoded.set(weights.map((value, i) => value * (1 + ((i % 7) - 3) / 64)));
    workspace.importance.set(fill(columns, uniform(3)));
    assert.ok(
      kernels.measure(workspace.weights, workspace.decoded, workspace.importance, columns, workspace.sums),
    );
    const expected = new Float64Array(3 * sizes.length);
    measureRows(workspace.weights, workspace.decoded, workspace.importance, columns, expected);
    assert.deepEqual(workspace.sums, expected);
  });

  it("find a weight that is not finite wherever it is", () => {
    workspace.arrange(38, 1, 0, 0);
    const { weights } = workspace;
    weights.fill(3.4e38);
    assert.equal(workspace.isFinite(weights), true);
    for (let i = 0; i < weights.length; i++) {
      for (const bad of [Number.NaN, Infinity, -Infinity]) {
        weights[i] = bad;
        assert.equal(workspace.isFinite(weights), false, `${bad} at ${i}`);
      }
      weights[i] = -1e-45;
    }
  });
});

/** Blocks of 32 whose quotients by the Q8_0 scale lie half way between codes. */
function halves(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => (i % 32 === 0 ? 127 : (i % 255) - 127 + 0.5));
}
