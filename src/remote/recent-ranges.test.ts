import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { FaultyDisk } from "../testing/faulty-disk.js";
import { temporaryFolder } from "../testing/temporary.js";
import { RecentRanges } from "./recent-ranges.js";

const piece = 1 << 16;

test("whatever was read lately is fetched once, every byte is that of the file, and no name is left", async (t) => {
  const folder = await temporaryFolder(t);
  const files = ["a", "b"].map((name, i) => ({
    name,
    bytes: Uint8Array.from({ length: 20 * piece }, (_, at) => (at * 7 + (at >> 8) + i) & 255),
  }));
  const ranges = await RecentRanges.open(folder, 7 * piece + 5);
  let fetched = 0;
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const read = async (index: number, offset: number, length: number) => {
    const { name, bytes } = files[index]!;
    const found = await ranges.read(name, offset, length, async (from, count) => {
      fetched += count;
      await new Promise((done) => setImmediate(done));
      return bytes.slice(from, from + count);
    });
    assert.ok(
      Buffer.from(found).equals(bytes.subarray(offset, offset + length)),
      `${name} ${offset} ${length}`,
    );
  };
  await read(0, piece, 3 * piece);
  assert.equal(fetched, 3 * piece);
  await read(0, 2 * piece - 9, piece);
  assert.equal(fetched, 3 * piece);
  // From before it to behind it.
  await read(0, 0, 5 * piece);
  assert.equal(fetched, 5 * piece);
  assert.deepEqual(await readdir(folder), []);
  // Several at a time, with more bytes than there is room for.
  for (let round = 0; round < 60; round++) {
    await Promise.all(
      [0, 1, 0, 1].map(async (index) => {
        const offset = random(19 * piece);
        await read(index, offset, 1 + random(Math.min(4 * piece, 20 * piece - offset)));
      }),
    );
  }
  await ranges.close();
});

test("with a full disk every byte is that of the file, and is fetched again", async (t) => {
  const folder = await temporaryFolder(t);
  const disk = await FaultyDisk.install(folder);
  t.after(() => disk.remove());
  const bytes = Uint8Array.from({ length: 4 * piece }, (_, at) => (at * 7 + (at >> 8)) & 255);
  const ranges = await RecentRanges.open(folder, 8 * piece);
  let fetched = 0;
  const read = async (offset: number, length: number) => {
    const found = await ranges.read("file", offset, length, async (from, count) => {
      fetched += count;
      return bytes.slice(from, from + count);
    });
    assert.ok(Buffer.from(found).equals(bytes.subarray(offset, offset + length)));
  };
  await read(0, piece);
  disk.arm({ at: 1, code: "ENOSPC" });
  await read(piece, piece);
  assert.equal(disk.operations, 1);
  disk.arm();
  await read(0, 4 * piece);
  await read(0, 4 * piece);
  // The first piece was kept before the disk was full, and nothing after that.
  assert.equal(fetched, (2 + 3 + 3) * piece);
  await ranges.close();
});
