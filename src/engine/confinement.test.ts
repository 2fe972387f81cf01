import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { confine } from "../isolation/confinement.js";
import { lookAround } from "../testing/engine-jobs.js";
import { Engine } from "./engine.js";
import { describeModel } from "./jobs.js";

const fixture = fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "lopsided-engine-view-"));
const path = join(folder, "model.gguf");
copyFileSync(fixture, path);
const canConfine = (await confine([])).length > 0;
const skip = canConfine ? false : "bubblewrap cannot be used here";
after(() => rmSync(folder, { recursive: true }));

test("native code reaches no network, no process and no file but its model, which it cannot change", {
  skip,
}, async () => {
  const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const secret = join(folder, "secret");
  writeFileSync(secret, "a token");
  const before = readFileSync(path);
  const engine = new Engine();
  try {
    const planted = join(folder, "planted");
    const { planted: _, ...found } = await engine.run(lookAround, {
      ...{ path, secret, planted, damaged: path, port: address.port, stopped: process.pid },
    });
    assert.ok(engine.isConfined);
    assert.deepEqual(found, {
      path: "qwen3moe",
      secret: "ENOENT",
      damaged: "EROFS",
      port: "ECONNREFUSED",
      stopped: "ESRCH",
    });
    assert.ok(!existsSync(planted));
    assert.ok(readFileSync(path).equals(before));
  } finally {
    await engine.close();
    server.close();
  }
});

test("a model is found by a relative path, by a link, and again after it was replaced", {
  skip,
}, async () => {
  const link = join(folder, "link.gguf");
  symlinkSync("model.gguf", link);
  const engine = new Engine();
  after(() => engine.close());
  const layers = async (model: string) =>
    (await engine.run(describeModel, { model: { path: model } })).layers;
  assert.equal(await layers(path), 4);
  const first = engine.processId;
  assert.equal(await layers(path), 4);
  assert.equal(engine.processId, first);
  assert.equal(await layers(link), 4);
  assert.equal(await layers(relative(process.cwd(), path)), 4);
  const replaced = join(folder, "other.gguf");
  writeFileSync(replaced, "GGUF");
  renameSync(replaced, link);
  await assert.rejects(layers(link), /link\.gguf: llama\.cpp 0\.5\.0 cannot load it/);
  assert.equal(await layers(path), 4);
  assert.ok(engine.isConfined);
});

test("without bubblewrap, or where it is forbidden, models run all the same", () => {
  const programs = join(folder, "programs");
  mkdirSync(programs);
  const script = `
    import { Engine } from ${JSON.stringify(new URL("./engine.js", import.meta.url).href)};
    import { describeModel } from ${JSON.stringify(new URL("./jobs.js", import.meta.url).href)};
    const engine = new Engine();
    const { layers } = await engine.run(describeModel, { model: { path: ${JSON.stringify(fixture)} } });
    console.log(layers, engine.isConfined);`;
  const run = (PATH: string) =>
    spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      env: { ...process.env, PATH },
      encoding: "utf8",
    });
  const absent = run(programs);
  assert.equal(absent.stdout, "4 false\n", absent.stderr);
  writeFileSync(
    join(programs, "bwrap"),
    "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n",
  );
  chmodSync(join(programs, "bwrap"), 0o755);
  const forbidden = run([programs, process.env.PATH].join(delimiter));
  assert.equal(forbidden.stdout, "4 false\n", forbidden.stderr);
});
