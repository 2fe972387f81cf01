import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { plainMetadata } from "../testing/gguf-file.js";
import { parseSplitName, splitPath, withoutSplitKeys } from "./splits.js";

describe("names of split files", () => {
  it("are read and written as llama.cpp does", () => {
    const name = { prefix: "/models/Qwen3-30B-Q8_0", index: 1, count: 12 };
    assert.equal(splitPath(name), "/models/Qwen3-30B-Q8_0-00002-of-00012.gguf");
    assert.deepEqual(parseSplitName("/models/Qwen3-30B-Q8_0-00002-of-00012.gguf"), name);
  });

  it("are not found where there are none", () => {
    for (const path of ["m.gguf", "m-1-of-3.gguf", "m-00001-of-00003.bin", "m-00001-of-00003.gguf.part"]) {
      assert.equal(parseSplitName(path), undefined, path);
    }
  });
});

it("the keys of one file of a set are left out, and no others", () => {
  const metadata = plainMetadata({
    "split.no": 0,
    a: 1,
    "split.count": 3,
    "split.tensors.count": 9,
    "split.mode": 2,
  });
  assert.deepEqual([...withoutSplitKeys(metadata).keys()], ["a", "split.mode"]);
});
