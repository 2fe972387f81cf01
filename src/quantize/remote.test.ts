import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { openGguf } from "../model/gguf-model.js";
import { openModel } from "../model/open.js";
import type { ModelSource } from "../model/source.js";
import { fixture, lopsided } from "../testing/command.js";
import { type Fault, FileServer, impatient } from "../testing/file-server.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { serveHub } from "../testing/hub.js";
import { temporaryFolder } from "../testing/temporary.js";
import { type WriteControls, writeModel } from "../write/write-model.js";
import { convert } from "./convert.js";

/** 82 slices. */
const tensors = [
  { name: "token_embd.weight", shape: [64, 96], type: "F32" },
  { name: "blk.0.ffn_down_exps.weight", shape: [32, 40, 40], type: "F32" },
  { name: "blk.0.ffn_up_exps.weight", shape: [64, 20, 40], type: "F32" },
  { name: "output_norm.weight", shape: [64], type: "F32" },
] as const;
const metadata = { "general.architecture": "llama" };

/** Quantizes without a recipe, so that the test is about the source alone. */
async function write(source: ModelSource, output: string, controls: WriteControls = {}): Promise<Uint8Array> {
  await writeModel({
    source,
    output,
    tensors: source.tensors.map((tensor) => ({ source: tensor, type: "Q8_0" as const })),
    metadata: (sums) =>
      new Map(source.metadata).set("source", { type: "array", itemType: "string", value: sums }),
    step: "test",
    inputs: {},
    threads: 1,
    ...controls,
  });
  return await readFile(output);
}

async function setUp(t: TestContext) {
  const folder = await temporaryFolder(t);
  const path = await writeGgufFile(join(folder, "m.gguf"), { metadata, tensors, seed: 3 });
  const server = await FileServer.start(t, { "/m.gguf": await readFile(path) });
  const local = await openGguf(path);
  t.after(() => local.close());
  const expected = await write(local, join(folder, "local.gguf"));
  return { folder, server, expected, local };
}

describe("quantizing straight from a web server", () => {
  it("that fails one request in twenty gives the bytes that the local file gives", async (t) => {
    const { folder, server, expected, local } = await setUp(t);
    const faults: Fault[] = [
      "drop",
      "truncate",
      { status: 500 },
      { status: 429, headers: { "retry-after": "0" } },
    ];
    let failed = 0;
    server.fault = ({ index }) => (index % 20 === 7 ? faults[failed++ % faults.length] : undefined);
    const remote = await openModel(`${server.address}/m.gguf`, { retry: impatient });
    assert.deepEqual(await write(remote, join(folder, "remote.gguf")), expected);
    assert.ok(failed >= 4, `${failed} requests failed`);
    // Read once, but for the header's window and the sample that is verified.
    const most = 1.15 * local.byteLength + 256 * 1024;
    assert.ok(server.bytesSent < most, `${server.bytesSent} of ${local.byteLength} bytes`);
  });

  it("is not continued once the file is another", async (t) => {
    const { folder, server } = await setUp(t);
    const output = join(folder, "remote.gguf");
    const open = () => openModel(`${server.address}/m.gguf`, { retry: impatient });
    server.fault = ({ index }) => (index > 60 ? "drop" : undefined);
    await assert.rejects(write(await open(), output), {
      name: "EnvironmentError",
      message: /5 times in a row.* run the same command with `resume` to continue\.$/,
    });
    server.fault = () => undefined;
    server.etag = () => '"another version"';
    await assert.rejects(write(await open(), output, { resume: true }), {
      name: "UsageError",
      message: /was begun with another source/,
    });
  });

  it("is continued after an outage, to the same bytes", async (t) => {
    const { folder, server, expected } = await setUp(t);
    const output = join(folder, "remote.gguf");
    const open = () => openModel(`${server.address}/m.gguf`, { retry: impatient });
    server.fault = ({ index }) => (index > 60 ? "drop" : undefined);
    await assert.rejects(write(await open(), output), { name: "EnvironmentError" });
    server.fault = () => undefined;
    const before = server.requests.length;
    assert.deepEqual(await write(await open(), output, { resume: true }), expected);
    assert.ok(
      server.requests.length - before < 80,
      "what was done is not asked for again, but for the checksum",
    );
  });

  it("is an error without an output when the file changes in the middle", async (t) => {
    const { folder, server } = await setUp(t);
    const etag = server.etag;
    server.etag = (path, bytes) => (server.requests.length > 50 ? '"new"' : etag(path, bytes));
    const remote = await openModel(`${server.address}/m.gguf`, { retry: impatient });
    await assert.rejects(write(remote, join(folder, "remote.gguf")), {
      name: "MalformedInputError",
      message: /the file on the server changed while it was read/,
    });
    assert.deepEqual(readdirSync(folder).sort(), ["local.gguf", "m.gguf"]);
  });
});

it("a split set on a web server is opened by its first file, with the same query for all", async (t) => {
  const folder = await temporaryFolder(t);
  const server = await FileServer.start(t);
  for (const [index, name] of ["a", "b"].entries()) {
    const file = `m-0000${index + 1}-of-00002.gguf`;
    const path = await writeGgufFile(join(folder, file), {
      metadata: { ...metadata, "split.no": index, "split.count": 2 },
      tensors: [{ name: `${name}.weight`, shape: [32, 4], type: "F32" }],
      seed: index,
    });
    server.files.set(`/${file}`, await readFile(path));
  }
  const model = await openModel(`${server.address}/m-00001-of-00002.gguf?key=secret`, { retry: impatient });
  assert.deepEqual(
    model.tensors.map(({ name }) => name),
    ["a.weight", "b.weight"],
  );
  assert.ok(server.requests.every(({ query }) => query === "?key=secret"));
  assert.ok(!model.name.includes("secret"));
});

describe("a model of the hub", () => {
  it("is converted to the bytes that its local folder gives", async (t) => {
    const folder = await temporaryFolder(t);
    const server = await FileServer.start(t);
    const files = Object.fromEntries(
      readdirSync(fixture("tiny-moe")).map((name) => [name, readFileSync(fixture(`tiny-moe/${name}`))]),
    );
    const commit = "c".repeat(40);
    serveHub(server, { repository: "lopsided/tiny-moe", commit, revisions: ["main"], files });
    process.env.HF_ENDPOINT = server.address;
    t.after(() => void delete process.env.HF_ENDPOINT);
    const options = { type: "F16", threads: 1 } as const;
    const local = join(folder, "local.gguf");
    const remote = join(folder, "remote.gguf");
    await convert({ ...options, folder: fixture("tiny-moe"), output: local });
    await convert({ ...options, folder: "hf://lopsided/tiny-moe@main", output: remote });
    assert.ok((await readFile(local)).equals(await readFile(remote)));
    const { status, stderr } = await lopsided(["inspect", "hf://lopsided/tiny-moe/missing.gguf"]);
    assert.equal(status, 1);
    assert.match(stderr, /missing\.gguf: there is no such file in the repository; check the path/);
  });
});

it("inspect reads the header of a file on a web server and little else", async (t) => {
  const server = await FileServer.start(t, { "/tiny.gguf": await readFile(fixture("tiny-moe-q8_0.gguf")) });
  const { status, stdout, stderr } = await lopsided(["inspect", `${server.address}/tiny.gguf`, "--json"]);
  assert.equal(status, 0, stderr);
  const local = await lopsided(["inspect", fixture("tiny-moe-q8_0.gguf"), "--json"]);
  assert.deepEqual({ ...JSON.parse(stdout), model: "" }, { ...JSON.parse(local.stdout), model: "" });
  assert.ok(server.requests.length <= 4 && server.bytesSent < 2_100_000, `${server.bytesSent} bytes`);
});
