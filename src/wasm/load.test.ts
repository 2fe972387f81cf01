import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { EnvironmentError } from "../errors.js";
import { loadKernels } from "../quants/kernels/load.js";
import { loadOutputAwareKernels } from "../quants/output-aware/load.js";
import { loadReduceModule } from "../reduce/load.js";
import { temporaryFolder } from "../testing/temporary.js";
import { loadSimdModule } from "./load.js";

const url = new URL("../reduce/reduce.wasm", import.meta.url);

describe("loading a SIMD module", () => {
  it("names what answers wrongly, and warns", () => {
    const ask = () => ({ right: "1", wrong: "2" });
    const loaded = loadSimdModule({ url, work: "Work", ask, knownAnswers: { right: "1", wrong: "3" } });
    assert.deepEqual(loaded.faulty, ["wrong"]);
    assert.match(loaded.warning ?? "", /^These kernels give wrong results on this machine .*: wrong\. /);
  });

  it("says that the installation is not complete if the file is missing", () => {
    assert.throws(
      () =>
        loadSimdModule({
          url: new URL("missing.wasm", url),
          work: "Work",
          ask: () => ({}),
          knownAnswers: {},
        }),
      {
        name: EnvironmentError.name,
        message: /missing\.wasm: cannot be read; install or build Lopsided again\.$/,
      },
    );
  });

  it("does without what this machine cannot compile", async (t) => {
    const path = join(await temporaryFolder(t as TestContext), "no.wasm");
    writeFileSync(path, "no module");
    const loaded = loadSimdModule({
      url: pathToFileURL(path),
      work: "Work",
      ask: () => ({}),
      knownAnswers: {},
    });
    assert.equal(loaded.module, undefined);
    assert.equal(
      loaded.warning,
      "Work is several times slower than it could be, because this machine or version of Node.js has no WebAssembly SIMD.",
    );
  });

  it("finds every module of ours right on this machine", () => {
    for (const { warning } of [loadKernels(), loadOutputAwareKernels(), loadReduceModule()]) {
      assert.equal(warning, undefined);
    }
  });
});
