import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatBinaryBytes, formatBytes, formatCount, formatDuration } from "./units.js";

describe("numbers for people", () => {
  it("tell powers of ten and of two apart", () => {
    assert.equal(formatBytes(11_414_441_984), "11.41 GB");
    assert.equal(formatBinaryBytes(11_414_441_984), "10.63 GiB");
    assert.equal(formatBytes(999), "999 B");
    assert.equal(formatBytes(967.5649471), "967.6 B");
  });

  it("shorten counts and durations", () => {
    assert.equal(formatCount(30_532_122_624), "30.53 B");
    assert.equal(formatCount(512), "512");
    assert.equal(formatDuration(3.44), "3.4 s");
    assert.equal(formatDuration(83), "1:23");
    assert.equal(formatDuration(3723), "1:02:03");
  });
});
