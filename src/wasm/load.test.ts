import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { EnvironmentError } from "../errors.js";
import { loadKernels } from "../quants/kernels/load.js";
import { loadOutputAwareKernels } from "../quants/output-aware/load.js";
import { loadReduceModule } from "../reduce/load.js";
import { temporaryFolder } from "../testing/temporary.js";
import { loadSimdModule, type SimdModule } from "./load.js";

const url = new URL("../reduce/reduce.wasm", import.meta.url);

/** A module whose functions answer their names backwards, except one; and what it has been asked. */
async function madeUp(t: TestContext): Promise<{ simd: SimdModule; asked: string[] }> {
  const path = join(await temporaryFolder(t), "copy.wasm");
  copyFileSync(url, path);
  const asked: string[] = [];
  const simd = loadSimdModule({
    url: pathToFileURL(path),
    work: "Work",
    questions: () => ["ab", "cd", "ef", "gh"],
    ask: (_module, question) => {
      asked.push(question);
      return question === "ef" ? "?" : `${question[1]}${question[0]}`;
    },
    knownAnswers: { ab: "ba", cd: "dc", ef: "fe" },
  });
  return { simd, asked };
}

describe("loading a SIMD module", () => {
  it("asks what is needed, once", async (t) => {
    const { simd, asked } = await madeUp(t as TestContext);
    assert.deepEqual([simd.isRight("cd"), simd.isRight("cd"), simd.warning], [true, true, undefined]);
    assert.deepEqual(asked, ["cd"]);
  });

  it("keeps what answers wrongly, or has no known answer, from being used, and warns of all of it", async (t) => {
    const { simd, asked } = await madeUp(t as TestContext);
    assert.deepEqual([simd.isRight("ef"), simd.isRight("unknown")], [false, false]);
    assert.match(simd.warning ?? "", /^These kernels give wrong results on this machine .*: ef, gh\. /);
    assert.deepEqual([simd.isRight("ab"), simd.isRight("gh")], [true, false]);
    assert.deepEqual(asked, ["ef", "ab", "cd", "gh"]);
  });

  it("says that the installation is not complete if the file is missing", () => {
    assert.throws(
      () =>
        loadSimdModule({
          url: new URL("missing.wasm", url),
          work: "Work",
          questions: () => [],
          ask: () => "",
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
      questions: () => ["any"],
      ask: () => "",
      knownAnswers: { any: "" },
    });
    assert.deepEqual([loaded.module, loaded.isRight("any")], [undefined, false]);
    assert.equal(
      loaded.warning,
      "Work is several times slower than it could be, because this machine or version of Node.js has no WebAssembly SIMD.",
    );
  });

  it("finds every module of ours right on this machine", () => {
    for (const load of [loadKernels, loadOutputAwareKernels, loadReduceModule]) {
      assert.equal(load().examine().warning, undefined);
    }
  });
});
