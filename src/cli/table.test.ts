import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatTable } from "./table.js";

describe("tables", () => {
  it("align columns without borders or trailing blanks", () => {
    const lines = formatTable(
      ["type", "count"],
      [
        ["IQ2_S", "48"],
        ["Q4_K", "192"],
      ],
      [1],
    );
    assert.deepEqual(lines, ["type   count", "IQ2_S     48", "Q4_K     192"]);
  });
});
