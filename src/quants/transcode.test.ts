import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MalformedInputError } from "../errors.js";
import { ggmlDecode } from "../testing/ggml.js";
import { fill, laplacian, uniform } from "../testing/random.js";
import { newKernels } from "./kernels/load.js";
import { sharedInput } from "./shared-input.js";
import { gain, relativeError, unitGainError } from "./statistics.js";
import { type Slice, transcode } from "./transcode.js";
import { Workspace } from "./workspace.js";

const columns = 256;
const weights = fill(40 * columns, laplacian(3));

function slice(change: Partial<Slice> & { weights?: Float32Array } = {}): Slice {
  return {
    label: "t",
    firstRow: 0,
    sourceType: "F32",
    targetType: "Q8_0",
    columns,
    source: new Uint8Array((change.weights ?? weights).slice().buffer),
    effort: "default",
    ...change,
  };
}

for (const implementation of ["the reference", "the kernels"]) {
  describe(`transcoding a slice with ${implementation}`, () => {
    const newWorkspace = () => new Workspace(implementation === "the kernels" ? newKernels() : undefined);

    it("returns the source itself when the type stays", () => {
      const task = slice({ targetType: "F32" });
      const { bytes, statistics } = transcode(task, newWorkspace());
      assert.equal(bytes, task.source);
      assert.equal(relativeError(statistics), 0);
      assert.equal(gain(statistics), 1);
    });

    it("finds no error at all in an exact conversion", () => {
      const exact = Float32Array.from(weights, (weight) => Math.round(weight * 16) / 16);
      const { statistics } = transcode(slice({ weights: exact, targetType: "BF16" }), newWorkspace());
      assert.equal(relativeError(statistics), 0);
      assert.equal(gain(statistics), 1);
    });

    it("measures error and gain as llama.cpp's decoder sees them", () => {
      const importance = fill(columns, uniform(5));
      const { bytes, statistics } = transcode(slice({ importance: sharedInput(importance) }), newWorkspace());
      const decoded = ggmlDecode("Q8_0", bytes, weights.length);
      let [ww, wq, qq] = [0, 0, 0];
      for (let i = 0; i < weights.length; i++) {
        const w = weights[i]!;
        const q = decoded[i]!;
        const weight = importance[i % columns]!;
        ww += weight * w * w;
        wq += weight * w * q;
        qq += weight * q * q;
      }
      assert.ok(Math.abs(relativeError(statistics) / ((ww - 2 * wq + qq) / ww) - 1) < 1e-6);
      assert.ok(Math.abs(gain(statistics) - wq / ww) < 1e-9);
      assert.ok(Math.abs(unitGainError(statistics) / ((qq * ww) / (wq * wq) - 1) - 1) < 1e-6);
      assert.ok(Math.abs(statistics.energy / ww - 1) < 1e-7);
    });

    it("does not care about the unit of the importance", () => {
      const importance = fill(columns, uniform(5));
      const reference = transcode(slice({ importance: sharedInput(importance) }), newWorkspace());
      for (const power of [-90, 90]) {
        const scaled = importance.map((value) => value * 2 ** power);
        const { bytes, statistics } = transcode(slice({ importance: sharedInput(scaled) }), newWorkspace());
        assert.deepEqual(bytes, reference.bytes);
        assert.equal(statistics.energy, reference.statistics.energy * 2 ** power);
      }
    });

    it("treats importance that is zero everywhere as none", () => {
      const none = transcode(slice(), newWorkspace());
      const zero = transcode(slice({ importance: sharedInput(new Float32Array(columns)) }), newWorkspace());
      assert.deepEqual(zero, none);
    });

    it("counts rows too small for the type", () => {
      const tiny = weights.slice();
      tiny.fill(1e-20, 3 * columns, 4 * columns);
      tiny.fill(0, 5 * columns, 6 * columns);
      const { statistics } = transcode(slice({ weights: tiny }), newWorkspace());
      assert.equal(statistics.vanishedRows, 1);
    });

    it("refuses weights that are not finite, too large for the type, and damaged importance", () => {
      const infinite = weights.slice();
      infinite[2 * columns + 1] = Number.NEGATIVE_INFINITY;
      assert.throws(() => transcode(slice({ weights: infinite, firstRow: 10 }), newWorkspace()), {
        name: MalformedInputError.name,
        message:
          "t: row 12 has the weight -Infinity at column 1. The file is damaged; download or convert it again.",
      });
      const large = weights.slice();
      large[7 * columns] = 1e9;
      assert.throws(
        () => transcode(slice({ weights: large, targetType: "F16", firstRow: 10 }), newWorkspace()),
        {
          name: MalformedInputError.name,
          message: "t: row 17 has weights too large for F16; store this tensor as F32 or BF16.",
        },
      );
      const importance = fill(columns, uniform(5));
      importance[9] = -1;
      assert.throws(() => transcode(slice({ importance: sharedInput(importance) }), newWorkspace()), {
        name: MalformedInputError.name,
        message:
          "t: the importance of column 9 is -1, but must be a finite number of at least 0. The imatrix is damaged; make it again.",
      });
    });
  });
}
