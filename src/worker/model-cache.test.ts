import assert from "node:assert/strict";
import { readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { contentIdentity, describeTaskModel, type GivenModel } from "../activations/task-models.js";
import { EnvironmentError } from "../errors.js";
import { openModelToRun } from "../model/open.js";
import { quantize } from "../quantize/quantize.js";
import type { TaskModel } from "../queue/chunk-task.js";
import { LaterError } from "../queue/data-access.js";
import { sha256 } from "../queue/seal.js";
import { fixture } from "../testing/command.js";
import { FaultyDisk } from "../testing/faulty-disk.js";
import { temporaryFolder } from "../testing/temporary.js";
import { ModelCache } from "./model-cache.js";

const here = "http://coordinator";

/** What a coordinator serves, and how much of it was asked for. */
class Served {
  readonly files = new Map<string, Uint8Array>();
  bytesSent = 0;
  /** Is asked before every answer. */
  before: () => void = () => {};

  async readFile(_: string, hash: string, offset: number, length: number): Promise<Uint8Array> {
    this.before();
    this.bytesSent += length;
    return new Uint8Array(this.files.get(hash)?.subarray(offset, offset + length) ?? []);
  }

  /** A model of these files. */
  add(name: string, ...contents: readonly Uint8Array[]): TaskModel {
    const files = contents.map((bytes, i) => ({
      name: i === 0 ? name : `${i}-${name}`,
      sha256: sha256(bytes),
      bytes: bytes.byteLength,
    }));
    for (const [i, bytes] of contents.entries()) {
      this.files.set(files[i]?.sha256 ?? "", bytes);
    }
    return { name, identity: sha256(JSON.stringify(files)), placement: "", files };
  }
}

/** A cache in a folder of its own that has room for so many bytes. */
async function cacheOf(t: TestContext, mostBytes?: number) {
  const [served, folder] = [new Served(), await temporaryFolder(t)];
  const warnings: string[] = [];
  const onFetch = (sentence: string) => warnings.push(sentence);
  return { served, folder, warnings, cache: new ModelCache({ folder, mostBytes, access: served, onFetch }) };
}

const bytesOf = (length: number, seed = 1) =>
  Uint8Array.from({ length }, (_, i) => (i * seed + (i >> 8)) & 255);

describe("models that coordinators send", () => {
  it("are fetched once, and again where they were damaged", async (t) => {
    const { served, cache, folder, warnings } = await cacheOf(t);
    const model = served.add("model.gguf", bytesOf(3000), bytesOf(500));
    const path = await cache.hold("a", model, here);
    assert.equal(path, join(folder, model.identity, "model.gguf"));
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /^model\.gguf \(3\.50 kB\) is fetched from http:\/\/coordinator into /);
    await cache.hold("b", model, here);
    assert.equal(served.bytesSent, 3500);
    await writeFile(path, bytesOf(3000, 7));
    await cache.hold("c", model, here);
    assert.equal(served.bytesSent, 6500);
    assert.deepEqual(new Uint8Array(await readFile(path)), bytesOf(3000));
  });

  it("are gone on with when the coordinator is reached again", async (t) => {
    const { served, cache } = await cacheOf(t);
    const model = served.add("model.gguf", bytesOf((1 << 24) + 1000));
    served.before = () => {
      if (served.bytesSent > 0) {
        throw new LaterError("cannot be reached");
      }
    };
    await assert.rejects(cache.hold("a", model, here), LaterError);
    served.before = () => {};
    assert.ok(await cache.hold("a", model, here));
    assert.equal(served.bytesSent, (1 << 24) + 1000);
  });

  it("are refused if they are others than was said", async (t) => {
    const { served, cache, folder } = await cacheOf(t);
    const model = served.add("model.gguf", bytesOf(3000));
    served.files.set(model.files?.[0]?.sha256 ?? "", bytesOf(3000, 9));
    await assert.rejects(cache.hold("a", model, here), /has the SHA-256 /);
    assert.deepEqual(await readdir(folder), []);
  });

  it("give way to others, those used longest ago first, unless they are in use", async (t) => {
    const { served, cache, folder } = await cacheOf(t, 2500);
    const models = [1, 2, 3, 4].map((seed) => served.add(`${seed}.gguf`, bytesOf(1000, seed)));
    const kept = async () => {
      const folders = await readdir(folder);
      return models.filter(({ identity }) => folders.includes(identity)).map(({ name }) => name[0]);
    };
    const longAgo = new Date(Date.now() - 1e6);
    for (const [i, model] of models.entries()) {
      await cache.hold(`holder ${i}`, model, here).catch((error: Error) => {
        assert.match(
          error.message,
          /^3\.gguf: has 1\.00 kB, and .* at most 2\.50 kB .*, 2\.00 kB of which are in use; /,
        );
        cache.release("holder 2");
      });
      if (i === 0) {
        await utimes(join(folder, model.identity), longAgo, longAgo);
      }
      if (i === 2) {
        assert.deepEqual(await kept(), ["1", "2"]);
        cache.release("holder 0");
        await utimes(join(folder, models[0]!.identity), longAgo, longAgo);
      }
    }
    assert.deepEqual(await kept(), ["2", "4"]);
  });

  it("are refused in one sentence when they are too large, or the disk is full, and leave nothing", async (t) => {
    const { served, cache, folder } = await cacheOf(t);
    const model = served.add("model.gguf", bytesOf(3000), bytesOf(500));
    const small = new ModelCache({ folder, mostBytes: 3499, access: served });
    await assert.rejects(small.hold("a", model, here), (error) => {
      assert.ok(error instanceof EnvironmentError);
      assert.match(
        error.message,
        /^model\.gguf: has 3\.50 kB, .* at most 3\.50 kB .*; allow more with `modelsSize`, or put /,
      );
      return true;
    });
    const disk = await FaultyDisk.install(folder);
    t.after(() => disk.remove());
    disk.arm();
    await cache.hold("a", model, here);
    const operations = disk.operations;
    assert.ok(operations > 2);
    for (let at = 1; at <= operations; at++) {
      const other = served.add(`${at}.gguf`, bytesOf(3000, at), bytesOf(500, at + 1));
      disk.arm({ at, code: "ENOSPC" });
      const outcome = await cache.hold("a", other, here).catch((error: Error) => error);
      disk.arm();
      assert.ok(outcome instanceof EnvironmentError, String(outcome));
      assert.doesNotMatch(outcome.message, /\n/);
      assert.deepEqual(await readdir(folder), [model.identity]);
    }
  });

  it("are what they were: split sets and checkpoints, with all that they need", async (t) => {
    const { served, cache, folder } = await cacheOf(t);
    const output = join(folder, "set.gguf");
    await quantize({
      ...{ model: fixture("tiny-moe-q8_0.gguf"), output, allowRequantize: true, threads: 0 },
      ...{ base: "COPY", splitMaxSize: 6e6 },
    });
    const sets = (await readdir(folder)).filter((name) => name.endsWith(".gguf")).sort();
    assert.ok(sets.length > 2);
    for (const path of [join(folder, sets[0]!), fixture("tiny-moe")]) {
      const source = await openModelToRun(path);
      const swept = { whole: { path } } as GivenModel["swept"];
      const { model, files } = await describeTaskModel({ path, source, swept });
      for (const [hash, file] of files) {
        served.files.set(hash, await readFile(file));
      }
      const copy = await openModelToRun((await cache.hold("a", model, here)) ?? "");
      assert.equal(await contentIdentity(copy), model.identity);
      await copy.close();
      await source.close();
    }
  });
});
