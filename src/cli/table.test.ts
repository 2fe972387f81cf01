import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatTable } from "./table.js";

describe("tables", () => {
  it("align columns without borders or trailing blanks", () => {
    const text = formatTable(
      ["type", "count"],
      [
        ["IQ2_S", "48"],
        ["Q4_K", "192"],
      ],
      [1],
    );
    assert.equal(text, "type   count\nIQ2_S     48\nQ4_K     192");
  });
});
