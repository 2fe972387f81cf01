import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceTensor } from "../model/source.js";
import { withBorrowed } from "./borrowed.js";

function tensor(name: string, shape: readonly number[]): SourceTensor {
  return { name, shape, type: "F16", readRows: async () => new Uint8Array() };
}

function entry(value: number) {
  return { sums: Float32Array.of(value), counts: Float64Array.of(1) };
}

const trunk = [tensor("blk.0.attn_q.weight", [1, 4]), tensor("blk.1.ssm_in.weight", [1, 4])];
const nextn = [
  tensor("blk.2.attn_q.weight", [1, 4]),
  tensor("blk.2.attn_k.weight", [1, 4]),
  tensor("blk.2.nextn.eh_proj.weight", [2, 1]),
];
const entries = new Map([
  ["blk.0.attn_q.weight", entry(3)],
  ["blk.1.ssm_in.weight", entry(5)],
]);

test("a layer of multi-token prediction borrows from the nearest layer that has the tensor", () => {
  const borrowed = withBorrowed(entries, [...trunk, ...nextn]);
  assert.equal(borrowed.get("blk.2.attn_q.weight"), entries.get("blk.0.attn_q.weight"));
  assert.equal(borrowed.size, 3);
});

test("other layers, measured tensors and other shapes borrow nothing", () => {
  const ordinary = withBorrowed(entries, [...trunk, tensor("blk.2.attn_q.weight", [1, 4])]);
  assert.equal(ordinary, entries);
  const own = new Map([...entries, ["blk.2.attn_q.weight", entry(7)] as const]);
  assert.equal(
    withBorrowed(own, [...trunk, ...nextn]).get("blk.2.attn_q.weight"),
    own.get("blk.2.attn_q.weight"),
  );
  const wider = [...trunk, tensor("blk.2.attn_q.weight", [2, 4]), ...nextn.slice(1)];
  assert.equal(withBorrowed(entries, wider).has("blk.2.attn_q.weight"), false);
});
