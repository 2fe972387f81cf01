import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { Engine } from "../engine/engine.js";
import { CancelledError, UsageError } from "../errors.js";
import { planGguf } from "../gguf/layout.js";
import { imatrix } from "../imatrix/compute.js";
import { openModel } from "../model/open.js";
import { rowCount } from "../model/source.js";
import type { Progress } from "../progress.js";
import { fixture } from "../testing/command.js";
import { FileServer } from "../testing/file-server.js";
import { temporaryFolder } from "../testing/temporary.js";
import { quantize } from "./quantize.js";

const calibration = fixture("text/calibration.txt");
const engine = new Engine();
after(() => engine.close());
const asked = {
  recipe: "asym-2bit-experts",
  effort: "max" as const,
  calibration,
  allowRequantize: true,
  engine,
};

/** The tiny model with its tensors in an order in which no layer's stand together. */
async function writeShuffled(path: string): Promise<string> {
  const { tensors, metadata, close } = await openModel(fixture("tiny-moe-q8_0.gguf"));
  const stem = (name: string) => name.replace(/^blk\.\d+\./, "");
  const shuffled = [...tensors].sort((a, b) => (stem(a.name) < stem(b.name) ? -1 : 1)).reverse();
  const { header, tensors: places, byteLength } = planGguf({ metadata, tensors: shuffled });
  const bytes = new Uint8Array(byteLength);
  bytes.set(header);
  for (const [i, { shape, readRows }] of shuffled.entries()) {
    bytes.set(await readRows.call(shuffled[i], 0, rowCount(shape)), places[i]!.offset);
  }
  await close();
  await writeFile(path, bytes);
  return path;
}

test("layers encoded when they have been run are those that are encoded when all have been, and nothing is kept", async (t) => {
  const folder = await temporaryFolder(t);
  const model = await writeShuffled(join(folder, "source.gguf"));
  const output = join(folder, "out.gguf");
  const request = {
    ...asked,
    model,
    output,
    calibrationTokens: 2000,
    tensorType: ["blk\\.[12]\\..*=Q8_0", "ffn_(gate|up)_exps=Q8_0", "token_embd=Q8_0", "output=Q8_0"],
  };
  const imatrixOutput = join(folder, "kept.imatrix");
  await quantize({ ...request, imatrixOutput });
  const kept = await readFile(output);

  const collected = new Set<string>();
  const look = () => {
    const found = readdirSync(`${output}.calibration`).filter((name) => /layer-|pass-\d+$/.test(name));
    const layers = new Set(found.map((name) => name.replace(/.*-/, "")));
    assert.ok(layers.size <= 1, found.join());
    for (const name of found) {
      collected.add(name);
    }
  };
  const again = { ...request, keepActivations: false, imatrixOutput: join(folder, "own.imatrix") };
  // Once while the text goes through the third layer, and once when some of the last layer's slices are encoded.
  for (const isMoment of [
    ({ step, detail = "" }: Progress) => step === "imatrix" && detail.startsWith("layers 2"),
    ({ step, detail = "" }: Progress) => step === "quantize" && detail === "blk.3.ffn_down_exps.weight",
  ]) {
    const stop = new AbortController();
    const onProgress = (progress: Progress) => {
      look();
      if (isMoment(progress)) {
        stop.abort();
      }
    };
    const stopped = quantize({ ...again, resume: true, onProgress, signal: stop.signal });
    await assert.rejects(stopped, CancelledError);
  }
  const { calibration: found } = await quantize({ ...again, resume: true });
  assert.ok((await readFile(output)).equals(kept));
  assert.deepEqual([found?.chunks, found?.tensors], [4, 32]);
  assert.deepEqual([...collected].sort(), [
    ...[0, 1, 2, 3].map((layer) => `activations.layer-${layer}`),
    ...[0, 1, 2, 3].map((layer) => `moments.pass-${layer}`),
  ]);
  assert.deepEqual((await readdir(folder)).sort(), [
    "kept.imatrix",
    "out.gguf",
    "own.imatrix",
    "source.gguf",
  ]);

  const alone = join(folder, "imatrix.gguf");
  const run = { text: calibration, chunks: 4, parseSpecial: true, engine };
  await imatrix({ ...run, model, output: alone });
  const [own, theirs] = await Promise.all([again.imatrixOutput, alone].map((path) => readFile(path)));
  assert.ok(own!.equals(theirs!));
});

test("of a model on a server each weight is fetched once, though it is run and then encoded", async (t) => {
  const folder = await temporaryFolder(t);
  const local = fixture("tiny-moe-q8_0.gguf");
  const bytes = await readFile(local);
  const server = await FileServer.start(t, { "/source.gguf": bytes });
  const written = async (model: string, name: string) => {
    const output = join(folder, name);
    await quantize({ ...asked, model, output, calibrationTokens: 1000, keepActivations: false });
    return await readFile(output);
  };
  const remote = await written(`${server.address}/source.gguf`, "remote.gguf");
  const own = await written(local, "local.gguf");
  assert.ok(remote.equals(own));
  assert.ok(server.bytesSent < 1.2 * bytes.length, `${server.bytesSent} of ${bytes.length} bytes`);
  assert.deepEqual(await readdir(folder), ["local.gguf", "remote.gguf"]);
});

test("what belongs to a calibration text is refused without one", async () => {
  const request = { model: fixture("tiny-moe-q8_0.gguf"), output: "none.gguf", recipe: "Q8_0" };
  for (const given of [{ keepActivations: false }, { calibrationTokens: 9 }, { imatrixOutput: "a.gguf" }]) {
    await assert.rejects(quantize({ ...request, ...given }), UsageError);
  }
});
