import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { fixture } from "../testing/command.js";
import { FileServer, sha256 } from "../testing/file-server.js";
import { type HubModel, serveHub } from "../testing/hub.js";
import { temporaryFolder } from "../testing/temporary.js";
import { downloadModel } from "./download.js";

/** Downloads a model whose server breaks down after the header and some of the pieces. */
async function interrupted(t: TestContext) {
  const bytes = await readFile(fixture("tiny-moe-q8_0.gguf"));
  // Longer than one request: what follows the tensors is no concern of the header.
  const padded = Buffer.concat([bytes, Buffer.alloc(2 ** 25)]);
  const server = await FileServer.start(t, { "/model.gguf": padded });
  const folder = join(await temporaryFolder(t), "source");
  const abort = new AbortController();
  let done = 0;
  const onProgress = (progress: { done: number }) => {
    done = progress.done;
    abort.abort();
  };
  const model = `${server.address}/model.gguf`;
  await assert.rejects(
    downloadModel(model, folder, { continues: false, onProgress, signal: abort.signal }),
    /stopped/,
  );
  return { server, folder, model, padded, done };
}

describe("downloading a model", () => {
  it("goes on where it was stopped", async (t) => {
    const { server, folder, model, padded, done } = await interrupted(t);
    assert.ok(done > 0 && done < padded.byteLength);
    server.bytesSent = 0;
    const [path = ""] = await downloadModel(model, folder, { continues: true, onProgress: () => {} });
    assert.equal(path, join(folder, "model.gguf"));
    assert.ok((await readFile(path)).equals(padded));
    assert.ok(server.bytesSent < padded.byteLength, "what was there is not fetched again");
    assert.deepEqual(await readdir(folder), ["model.gguf"]);
  });

  it("starts over where the parts may be another model's", async (t) => {
    const { server, folder, model, padded } = await interrupted(t);
    server.bytesSent = 0;
    await downloadModel(model, folder, { continues: false, onProgress: () => {} });
    assert.ok(server.bytesSent >= padded.byteLength);
  });

  it("refuses bytes that are not those that the hub knows", async (t) => {
    const bytes = await readFile(fixture("tiny-moe-q8_0.gguf"));
    const server = await FileServer.start(t);
    const hub: HubModel = {
      repository: "some-one/tiny",
      commit: "0123456789abcdef0123456789abcdef01234567",
      revisions: ["main"],
      files: { "tiny.gguf": bytes },
    };
    serveHub(server, hub);
    const damaged = Buffer.from(bytes);
    damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
    server.files.set(`/some-one/tiny/resolve/${hub.commit}/tiny.gguf`, damaged);
    process.env.HF_ENDPOINT = server.address;
    t.after(() => delete process.env.HF_ENDPOINT);
    const folder = join(await temporaryFolder(t), "source");
    const options = { continues: false, onProgress: () => {} };
    await assert.rejects(
      downloadModel("hf://some-one/tiny/tiny.gguf", folder, options),
      new RegExp(`has the SHA-256 ${sha256(damaged)} instead of ${sha256(bytes)} and was removed`),
    );
    assert.deepEqual(await readdir(folder), []);
  });
});
