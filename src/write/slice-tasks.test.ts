import assert from "node:assert/strict";
import { test } from "node:test";
import type { OutputFile } from "../bytes/output.js";
import { inBatches, sliceTasks, type TensorTask } from "./slice-tasks.js";

/** A tensor of two experts of one slice each. */
function tensor(name: string, offset: number, shape: number[], moments?: TensorTask["moments"]): TensorTask {
  const common = { name, shape, type: "F32" as const };
  const target = { ...common, offset, byteLength: 4 * shape.reduce((a, b) => a * b, 1) };
  const source = { ...common, readRows: () => Promise.reject(new Error("not read")) };
  return { model: "m", source, target, file: {} as OutputFile, moments };
}

test("an expert's gate and up come one after the other if they have moments, each at its own place", () => {
  const moments = async () => undefined;
  const names = (tasks: readonly TensorTask[]) =>
    [...sliceTasks(tasks)].map(({ task, offset }) => `${task.source.name.slice(4, -5)} ${offset}`);
  const layer = (read?: TensorTask["moments"]) => [
    tensor("blk.0.ffn_gate_exps.weight", 0, [4, 2, 2], read),
    tensor("blk.0.ffn_down_exps.weight", 100, [2, 4, 2], read),
    tensor("blk.0.ffn_up_exps.weight", 200, [4, 2, 2], read),
    tensor("blk.1.ffn_up_exps.weight", 300, [4, 2, 2], read),
  ];
  const [gate, up, down] = ["0.ffn_gate_exps.w", "0.ffn_up_exps.w", "0.ffn_down_exps.w"];
  const other = ["1.ffn_up_exps.w 300", "1.ffn_up_exps.w 332"];
  assert.deepEqual(names(layer(moments)), [
    ...[`${gate} 0`, `${up} 200`, `${gate} 32`, `${up} 232`],
    ...[`${down} 100`, `${down} 132`],
    ...other,
  ]);
  const inFileOrder = [
    ...[`${gate} 0`, `${gate} 32`, `${down} 100`, `${down} 132`, `${up} 200`, `${up} 232`],
    ...other,
  ];
  assert.deepEqual(names(layer()), inFileOrder);
  const ofServer = layer(moments).map((task) => ({ ...task, isReadInOrder: true }));
  assert.deepEqual(names(ofServer), inFileOrder);
});

test("slices of an expert that share moments are a batch, from wherever a run goes on", () => {
  const moments = async () => undefined;
  const batches = (tasks: readonly TensorTask[], from = 0) =>
    [...inBatches([...sliceTasks(tasks)].slice(from))].map((batch) =>
      batch.map(({ task, slice }) => `${task.source.name.slice(10, -12)} ${slice.expert}`).join(", "),
    );
  const layer = (read?: TensorTask["moments"]) => [
    tensor("blk.0.ffn_gate_exps.weight", 0, [4, 2, 2], read),
    tensor("blk.0.ffn_up_exps.weight", 200, [4, 2, 2], read),
    tensor("blk.0.ffn_down_exps.weight", 100, [2, 4, 2], read),
  ];
  assert.deepEqual(batches(layer(moments)), ["gate 0, up 0", "gate 1, up 1", "down 0", "down 1"]);
  assert.deepEqual(batches(layer(moments), 1), ["up 0", "gate 1, up 1", "down 0", "down 1"]);
  assert.deepEqual(batches(layer()), ["gate 0", "gate 1", "up 0", "up 1", "down 0", "down 1"]);
  // Five million weights an expert: five slices.
  const large = [tensor("blk.0.ffn_down_exps.weight", 0, [1024, 5120, 2], moments)];
  const [first, second] = ["down 0, down 0, down 0, down 0", "down 1, down 1, down 1, down 1"];
  assert.deepEqual(batches(large), [first, "down 0", second, "down 1"]);
});
