import assert from "node:assert/strict";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { temporaryFolder } from "../testing/temporary.js";
import { type ByteSource, FileSource, MemorySource } from "./source.js";

const content = Uint8Array.from({ length: 100 }, (_, index) => index);

const kinds: [string, (path: string) => Promise<ByteSource>][] = [
  ["a file", FileSource.open],
  ["memory", async (path) => new MemorySource(path, Buffer.from(content))],
];

for (const [kind, open] of kinds) {
  describe(`${kind} as a source`, () => {
    it("gives exactly the bytes asked for, to keep and to change", async (t) => {
      const path = join(await temporaryFolder(t), "f");
      await writeFile(path, content);
      const source = await open(path);
      t.after(() => source.close());
      assert.equal(source.byteLength, 100);
      const middle = await source.read(40, 20);
      assert.deepEqual(middle, content.slice(40, 60));
      middle.fill(0);
      assert.deepEqual(await source.read(0, 100), content);
      assert.deepEqual(await source.read(100, 0), new Uint8Array(0));
    });

    it("refuses to read past its end", async (t) => {
      const path = join(await temporaryFolder(t), "f");
      await writeFile(path, content);
      const source = await open(path);
      t.after(() => source.close());
      await assert.rejects(source.read(90, 11), {
        name: "MalformedInputError",
        message: `${path}: needs 11 bytes at offset 90 but the file has only 100 bytes. The file is truncated; download or write it again.`,
      });
      for (const [offset, length] of [
        [-1, 1],
        [0, -1],
        [0.5, 1],
        [0, Number.NaN],
        [2 ** 53, 1],
      ] as const) {
        await assert.rejects(source.read(offset, length), {
          message: `${path}: a read of ${length} bytes at ${offset} makes no sense.`,
        });
      }
    });
  });
}

describe("a file as a source", () => {
  it("fills memory that it is given", async (t) => {
    const path = join(await temporaryFolder(t), "f");
    await writeFile(path, content);
    const source = await FileSource.open(path);
    t.after(() => source.close());
    const room = new Uint8Array(30);
    await source.readInto(room.subarray(5, 25), 40);
    assert.deepEqual(
      room,
      Uint8Array.of(...new Uint8Array(5), ...content.slice(40, 60), ...new Uint8Array(5)),
    );
    await assert.rejects(source.readInto(room, 80), { name: "MalformedInputError" });
  });

  it("must exist and be a regular file", async (t) => {
    const folder = await temporaryFolder(t);
    await assert.rejects(FileSource.open(join(folder, "none")), {
      name: "EnvironmentError",
      message: `${join(folder, "none")}: no such file; check the path.`,
    });
    await assert.rejects(FileSource.open(folder), {
      name: "EnvironmentError",
      message: `${folder}: is not a regular file; name one.`,
    });
  });

  it("says so if it becomes shorter while it is read", async (t) => {
    const path = join(await temporaryFolder(t), "f");
    await writeFile(path, content);
    const source = await FileSource.open(path);
    t.after(() => source.close());
    await truncate(path, 50);
    await assert.rejects(source.read(40, 20), {
      name: "MalformedInputError",
      message: `${path}: ended at byte 50 while reading 20 bytes at 40; it became shorter since it was opened.`,
    });
  });
});
