import assert from "node:assert/strict";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { CancelledError, EnvironmentError, InternalError, UsageError } from "../errors.js";
// Loads one of llama.cpp's libraries through koffi before the engine does.
import { ggmlTypeSize } from "../testing/ggml.js";
import { loadLibrary } from "./library.js";
import { Model } from "./model.js";
import type { NativeTensor } from "./tensor.js";

const path = fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url));
const library = loadLibrary();
let model: Model;
before(() => {
  model = Model.load(library, { path, plainWeights: true });
});
const tokens = Int32Array.from({ length: 300 }, (_, index) => (index * 7919) % 2000);

test("a model's facts are those of its file", () => {
  const { metadata, chatTemplate, ...facts } = model.facts;
  assert.deepEqual(facts, {
    architecture: "qwen3moe",
    layers: 4,
    embeddingLength: 256,
    outputLength: 256,
    positionsPerToken: 1,
    attentionWindow: 0,
    isRecurrent: false,
    trainedContextLength: 4096,
    parameters: 14437120,
    weightsBytes: 15395840,
    vocabularySize: 2048,
    addsBos: false,
    addsEos: false,
    bosToken: 2045,
    eosToken: 2047,
  });
  assert.equal(metadata.get("qwen3moe.expert_count"), "16");
  assert.match(chatTemplate ?? "", /^\{%- for message in messages -%\}/);
});

test("control tokens are parsed only when asked for", () => {
  const text = "<|im_start|>user\nx = 1<|im_end|>";
  assert.equal(model.tokenize(text, { parseSpecial: true })[0], 2046);
  assert.equal(model.tokenize(text).includes(2046), false);
});

test("a text survives tokenizing and detokenizing", () => {
  const texts = [
    "",
    " ",
    "def f(x):\n\treturn x ** 2  # é 你好 🦙\r\n",
    "<|im_end|>",
    // Of llama.cpp's vocabulary tests.
    "ied 4 ½ months",
    "\t\n",
    "🚀 (normal) 😶‍🌫️ (multiple emojis concatenated) ✅ 🦙🦙 3333333 កាន់តែពិសេសអាច?我想在apple工作1314151天～",
  ];
  for (const text of texts) {
    const ids = model.tokenize(text, { parseSpecial: true });
    assert.equal(model.detokenize(ids, { special: true }), text);
  }
});

test("logits are the same to the bit with any number of threads, also while it is being chosen", () => {
  const logitsOf = (threads?: number) => {
    const context = model.createContext({
      contextLength: 256,
      ...(threads === undefined ? {} : { threads }),
    });
    const found = [];
    for (let round = 0; round < (threads === undefined ? 3 : 1); round++) {
      context.clear();
      context.decode([{ sequence: 0, position: 0, tokens: tokens.subarray(0, 40), logitsFrom: 38 }]);
      const first = context.logits().slice();
      context.decode([{ sequence: 0, position: 40, tokens: tokens.subarray(40, 41) }]);
      found.push(Buffer.concat([Buffer.from(first.buffer), new Uint8Array(context.logits().slice().buffer)]));
    }
    context.close();
    return found;
  };
  const [expected] = logitsOf(1);
  for (const logits of [...logitsOf(2), ...logitsOf(3), ...logitsOf()]) {
    assert.deepEqual(logits, expected);
  }
});

test("sequences decoded together give the logits they give alone", () => {
  const together = model.createContext({ contextLength: 256, sequences: 2, threads: 1 });
  const rows = together.decode([
    { sequence: 0, position: 0, tokens: tokens.subarray(0, 100), logitsFrom: 98 },
    { sequence: 1, position: 0, tokens: tokens.subarray(100, 150) },
  ]);
  assert.equal(rows, 3);
  const both = together.logits().slice();
  together.close();
  const alone = model.createContext({ contextLength: 256, threads: 1 });
  assert.equal(alone.decode([{ sequence: 0, position: 0, tokens: tokens.subarray(100, 150) }]), 1);
  assertClose(both.subarray(2 * 2048), alone.logits(), 1e-3);
  alone.clear();
  alone.decode([{ sequence: 0, position: 0, tokens: tokens.subarray(0, 60), logitsFrom: 60 }]);
  assert.equal(alone.logits().length, 0);
  alone.decode([{ sequence: 0, position: 60, tokens: tokens.subarray(60, 100), logitsFrom: 38 }]);
  assertClose(both.subarray(0, 2 * 2048), alone.logits(), 1e-3);
  alone.close();
});

test("observers see the operands and results of the operations they named", () => {
  const experts: { weight: string; input: number[]; ids: number[]; energy: number }[] = [];
  const routers = new Set<string>();
  const context = model.createContext({
    contextLength: 256,
    threads: 1,
    observers: [
      {
        operations: ["MUL_MAT_ID"],
        wants: (node) => operand(node, 0).name === "blk.1.ffn_down_exps.weight",
        observe(node) {
          const input = operand(node, 1).float32();
          experts.push({
            weight: operand(node, 0).name,
            input: operand(node, 1).shape,
            ids: operand(node, 2).shape,
            energy: input.reduce((sum, value) => sum + value * value, 0),
          });
          const ids = operand(node, 2);
          const chosen = ids.int32();
          const perToken = ids.strides[1] / 4;
          for (let token = 0; token < 20; token++) {
            const own = chosen.subarray(token * perToken, token * perToken + 4);
            assert.equal(new Set(own).size, 4);
            assert.ok(own.every((expert) => expert >= 0 && expert < 16));
          }
        },
      },
      {
        operations: ["MUL_MAT"],
        wants: (node) => operand(node, 0).name.endsWith("ffn_gate_inp.weight"),
        observe: (node) => void routers.add(operand(node, 0).name),
      },
    ],
  });
  context.decode([{ sequence: 0, position: 0, tokens: tokens.subarray(0, 20), logitsFrom: 0 }]);
  context.close();
  assert.equal(experts.length, 1);
  assert.deepEqual(experts[0]?.input, [256, 4, 20, 1]);
  assert.deepEqual(experts[0]?.ids, [4, 20, 1, 1]);
  assert.ok((experts[0]?.energy ?? 0) > 0);
  assert.deepEqual(
    [...routers].sort(),
    [0, 1, 2, 3].map((layer) => `blk.${layer}.ffn_gate_inp.weight`),
  );
});

test("an exception in an observer ends the decode and reaches its caller", () => {
  const context = model.createContext({
    contextLength: 256,
    threads: 1,
    observers: [
      {
        wants: () => true,
        observe(node) {
          throw new RangeError(`seen ${node.name}`);
        },
      },
    ],
  });
  assert.throws(
    () => context.decode([{ sequence: 0, position: 0, tokens: [1] }]),
    (error) => error instanceof RangeError && error.message === "seen embd",
  );
  context.close();
});

test("weights can be read, and what is written changes the logits", () => {
  const weights = model.weights();
  assert.equal(weights.size, 51);
  for (const { shape, type, byteLength } of weights.values()) {
    const { blockSize, blockBytes } = ggmlTypeSize(type ?? "F32");
    assert.equal(byteLength, (shape[0] * shape[1] * shape[2] * blockBytes) / blockSize);
  }
  const norm = weights.get("output_norm.weight");
  assert.deepEqual(norm?.shape, [256, 1, 1, 1]);
  const saved = norm?.bytes().slice() ?? new Uint8Array();
  assert.ok(new Float32Array(saved.buffer).every((value) => value > 0 && value < 100));
  const context = model.createContext({ contextLength: 256, threads: 1 });
  const logits = () => {
    context.clear();
    context.decode([{ sequence: 0, position: 0, tokens: tokens.subarray(0, 8) }]);
    return context.logits().slice();
  };
  const original = logits();
  const half = new Float32Array(new Float32Array(saved.buffer).subarray(128));
  model.writeWeight("output_norm.weight", new Uint8Array(512));
  assert.notDeepEqual(logits(), original);
  model.writeWeight("output_norm.weight", new Uint8Array(1024));
  assert.ok(logits().every((value) => value === 0));
  model.writeWeight("output_norm.weight", saved.subarray(0, 512));
  model.writeWeight("output_norm.weight", new Uint8Array(half.buffer), 512);
  assert.deepEqual(logits(), original);
  context.close();
  assert.throws(() => model.writeWeight("output_norm.weight", new Uint8Array(1025)), InternalError);
  assert.throws(() => model.writeWeight("nothing.weight", saved), InternalError);
});

test("quantized KV caches take less memory", () => {
  const f16 = model.createContext({ contextLength: 4096, threads: 1 });
  const q8 = model.createContext({
    contextLength: 4096,
    threads: 1,
    keyCacheType: "Q8_0",
    valueCacheType: "Q8_0",
  });
  // 2 (K and V) x 4 layers x 2 heads x 64 values x 4096 tokens
  assert.equal(f16.memoryUse.cacheBytes, 2 * 4 * 2 * 64 * 4096 * 2);
  assert.equal(q8.memoryUse.cacheBytes, (2 * 4 * 2 * 64 * 4096 * 34) / 32);
  f16.close();
  q8.close();
});

test("a context longer than the model's, or too full, is refused", () => {
  assert.throws(
    () => model.createContext({ contextLength: 4097 }),
    (error) =>
      error instanceof UsageError &&
      error.message ===
        `${path}: a context of 4097 tokens is longer than the 4096 that the model was trained with; use at most 4096.`,
  );
  const context = model.createContext({ contextLength: 256, threads: 1 });
  context.decode([{ sequence: 0, position: 0, tokens: tokens.subarray(0, 200) }]);
  assert.throws(
    () => context.decode([{ sequence: 0, position: 200, tokens: tokens.subarray(0, 100) }]),
    UsageError,
  );
  context.close();
});

test("a KV cache larger than the memory is refused with its exact size", () => {
  // Per token: 2 (K and V) x 4 layers x 2 heads x 64 values x 2 bytes
  assert.throws(
    () => model.createContext({ contextLength: 1e9, sequences: 2, beyondTraining: true }),
    (error) =>
      error instanceof EnvironmentError &&
      error.message.startsWith(
        `${path}: the KV cache of 2000000000 tokens takes 4096.0 GB (2048 bytes per token), but this machine has `,
      ),
  );
});

test("cancelling stops a load and a decode", () => {
  assert.throws(() => Model.load(library, { path }, { isCancelled: () => true }), CancelledError);
  let asked = 0;
  const cancellable = Model.load(library, { path }, { isCancelled: () => asked++ > 100 });
  asked = 0;
  const context = cancellable.createContext({ contextLength: 512, threads: 1 });
  assert.throws(
    () => context.decode([{ sequence: 0, position: 0, tokens: tokens.subarray(0, 300) }]),
    CancelledError,
  );
  assert.ok(asked < 150, `asked ${asked} times`);
  cancellable.close();
});

function operand(node: NativeTensor, index: number): NativeTensor {
  const source = node.source(index);
  assert.ok(source, `${node.name} has no operand ${index}`);
  return source;
}

function assertClose(actual: Float32Array, expected: Float32Array, tolerance: number): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, index) => {
    assert.ok(Math.abs(value - (expected[index] ?? Number.NaN)) <= tolerance, `value ${index}`);
  });
}
