import assert from "node:assert/strict";
import { test } from "node:test";
import type { NativeTensor } from "../engine/tensor.js";
import { MalformedInputError } from "../errors.js";
import { ImatrixCollector } from "./collector.js";
import { checkFiniteSums, GroupSums } from "./group-sums.js";

type Four = [number, number, number, number];

interface Fake {
  name?: string;
  shape?: Four;
  /** In elements. */
  strides?: Four;
  values?: number[];
  operation?: string;
  type?: string;
  sources?: Fake[];
}

/** A tensor without native memory. */
function tensor({ name = "x", shape = [1, 1, 1, 1], strides, values = [], ...rest }: Fake): NativeTensor {
  const packed: Four = [1, shape[0], shape[0] * shape[1], shape[0] * shape[1] * shape[2]];
  return {
    name,
    shape,
    strides: (strides ?? packed).map((stride) => 4 * stride),
    operation: rest.operation ?? "NONE",
    type: rest.type ?? "F32",
    float32: () => Float32Array.from(values),
    int32: () => Int32Array.from(values),
    source: (index: number) => {
      const source = rest.sources?.[index];
      return source && tensor(source);
    },
  } as unknown as NativeTensor;
}

function product(weight: Fake, input: Fake, choice?: Fake): NativeTensor {
  return tensor({
    operation: choice ? "MUL_MAT_ID" : "MUL_MAT",
    sources: [weight, input, ...(choice ? [choice] : [])],
  });
}

function collect(nodes: NativeTensor[], processOutput = false) {
  const collector = new ImatrixCollector({ processOutput });
  for (const node of nodes) {
    collector.observe(node);
  }
  return Object.fromEntries(
    [...collector.entries].map(([name, { sums, counts }]) => [
      name,
      { sums: [...sums], counts: [...counts] },
    ]),
  );
}

const q: Fake = { name: "blk.0.attn_q.weight", shape: [2, 8, 1, 1] };
const experts: Fake = { name: "blk.0.ffn_up_exps.weight", shape: [2, 8, 3, 1] };

test("products in layers with enough rows are wanted, the output matrix if asked for", () => {
  const plain = new ImatrixCollector({ processOutput: false });
  const withOutput = new ImatrixCollector({ processOutput: true });
  const input: Fake = { shape: [2, 16, 1, 1] };
  const output: Fake = { ...q, name: "output.weight" };
  assert.equal(plain.wants(product(q, input)), true);
  assert.equal(plain.wants(product(q, { shape: [2, 15, 1, 1] })), false);
  assert.equal(plain.wants(product(q, { ...input, type: "F16" })), false);
  assert.equal(plain.wants(product(output, input)), false);
  assert.equal(withOutput.wants(product(output, input)), true);
  assert.equal(withOutput.wants(product({ ...q, name: "output_extra.weight" }, input)), false);
  assert.equal(plain.wants(product(experts, { shape: [2, 1, 1, 1] }, { shape: [1, 1, 1, 1] })), true);
});

test("a dense product adds the squares of its rows, call after call", () => {
  const node = product(q, { shape: [2, 3, 1, 1], values: [1, 2, 3, 4, 5, 6] });
  assert.deepEqual(collect([node, node]), {
    "blk.0.attn_q.weight": { sums: [2 * (1 + 9 + 25), 2 * (4 + 16 + 36)], counts: [6] },
  });
});

test("rows with gaps between them are read by their strides", () => {
  const values = [1, 2, 100, 3, 4, 100];
  const node = product(q, { shape: [2, 2, 1, 1], strides: [1, 3, 6, 6], values });
  assert.deepEqual(collect([node]), { "blk.0.attn_q.weight": { sums: [10, 20], counts: [2] } });
});

test("several matrices take the input's outer dimensions in turn, under one count", () => {
  const node = product(
    { name: "blk.0.k_b.weight", shape: [1, 4, 2, 1] },
    { shape: [1, 1, 4, 1], values: [1, 2, 3, 4] },
  );
  assert.deepEqual(collect([node]), { "blk.0.k_b.weight": { sums: [1 + 9, 4 + 16], counts: [2] } });
});

test("a routed product adds each row to the expert that was chosen for it", () => {
  // One input row per token for both slots; the choice's rows are longer than the slots in use.
  const input: Fake = { shape: [2, 1, 2, 1], values: [1, 2, 3, 4] };
  const choice: Fake = { shape: [2, 2, 1, 1], strides: [1, 3, 6, 6], values: [0, 2, 9, 2, 0, 9] };
  assert.deepEqual(collect([product(experts, input, choice)]), {
    "blk.0.ffn_up_exps.weight": { sums: [10, 20, 0, 0, 10, 20], counts: [2, 0, 2] },
  });
});

test("with a row for each slot the slot's own row counts", () => {
  const input: Fake = { shape: [2, 2, 1, 1], values: [1, 2, 3, 4] };
  const choice: Fake = { shape: [2, 1, 1, 1], values: [1, 0] };
  assert.deepEqual(collect([product(experts, input, choice)]), {
    "blk.0.ffn_up_exps.weight": { sums: [9, 16, 1, 4, 0, 0], counts: [1, 1, 0] },
  });
});

test("sums are rounded to float32 after every addition", () => {
  const node = product({ ...q, shape: [1, 1, 1, 1] }, { shape: [1, 1, 1, 1], values: [1] });
  const big = new ImatrixCollector({ processOutput: false });
  big.entries.set("blk.0.attn_q.weight", { sums: Float32Array.of(2 ** 24), counts: Float64Array.of(5) });
  big.observe(node);
  big.observe(node);
  assert.deepEqual([...big.entries.get("blk.0.attn_q.weight")!.sums], [2 ** 24]);
});

test("a copy of a weight on another device goes by the weight's name", () => {
  const node = product(
    { ...q, name: "CUDA0#blk.0.attn_q.weight#0" },
    { shape: [2, 1, 1, 1], values: [1, 1] },
  );
  assert.deepEqual(Object.keys(collect([node])), ["blk.0.attn_q.weight"]);
});

test("activations that are no numbers are reported with their expert", () => {
  const collector = new ImatrixCollector({ processOutput: false });
  const input: Fake = { shape: [2, 1, 1, 1], values: [1, Number.NaN] };
  collector.observe(product(experts, input, { shape: [1, 1, 1, 1], values: [2] }));
  assert.throws(
    () => checkFiniteSums(collector.take(), "m.gguf"),
    (error: Error) => {
      assert.ok(error instanceof MalformedInputError);
      assert.match(
        error.message,
        /^m\.gguf: the inputs of "blk\.0\.ffn_up_exps\.weight" of expert 2 are not finite/,
      );
      return true;
    },
  );
});

test("groups are added in their order, rounded to float32 after each", () => {
  const sums = new GroupSums();
  const group = (sum: number) => {
    const entry = { sums: Float32Array.of(sum), counts: Float64Array.of(1), outputs: Float32Array.of(sum) };
    return new Map([["blk.0.ffn_down_exps.weight", entry]]);
  };
  for (const sum of [2 ** 24, 1, 1, 2]) {
    sums.add(group(sum));
  }
  const { sums: total, counts, outputs } = sums.entries.get("blk.0.ffn_down_exps.weight")!;
  assert.deepEqual([[...total], [...counts], [...outputs!]], [[2 ** 24 + 2], [4], [2 ** 24 + 2]]);
  const other = new Map([
    ["blk.0.ffn_down_exps.weight", { sums: new Float32Array(2), counts: Float64Array.of(1) }],
  ]);
  assert.throws(() => sums.add(other), /had 1 sums before, and has 2 now\.$/);
});
