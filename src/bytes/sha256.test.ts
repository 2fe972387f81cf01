import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CancelledError } from "../errors.js";
import { temporaryFolder } from "../testing/temporary.js";
import { sha256OfFile } from "./sha256.js";

describe("hashing a file", () => {
  it("gives the SHA-256 of small files and of large ones, which a thread hashes", async (t) => {
    const folder = await temporaryFolder(t);
    for (const byteLength of [0, 3_000_000, 70_000_000]) {
      const path = join(folder, `${byteLength}`);
      await writeFile(path, "weights".slice(0, byteLength));
      await truncate(path, byteLength);
      const bytes = Buffer.alloc(byteLength);
      bytes.write("weights");
      assert.equal(await sha256OfFile(path), createHash("sha256").update(bytes).digest("hex"));
    }
  });

  it("stops when it is told to", async (t) => {
    const folder = await temporaryFolder(t);
    for (const byteLength of [3_000_000, 70_000_000]) {
      const path = join(folder, `${byteLength}`);
      await writeFile(path, "");
      await truncate(path, byteLength);
      const stop = new AbortController();
      const hashing = sha256OfFile(path, stop.signal);
      stop.abort();
      await assert.rejects(hashing, CancelledError);
    }
  });
});
