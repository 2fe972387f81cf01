import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, it, type TestContext, test } from "node:test";
import { temporaryFolder } from "../testing/temporary.js";
import { OutputFile, writeFully } from "./output.js";

/** A path in a new folder. */
async function newPath(t: TestContext): Promise<{ folder: string; path: string }> {
  const folder = await temporaryFolder(t);
  return { folder, path: join(folder, "out.gguf") };
}

describe("an output file", () => {
  it("appears only when it is committed, with all that was written in any order", async (t) => {
    const { folder, path } = await newPath(t);
    const output = await OutputFile.create(path, 1000);
    const part = (start: number) => Uint8Array.from({ length: 100 }, (_, index) => (start + index) % 251);
    const starts = [900, 0, 500, 300, 100, 700, 200, 800, 400, 600];
    await Promise.all(starts.map((start) => output.write(start, part(start))));
    assert.equal(output.bytesWritten, 1000);
    const underWay = await readdir(folder);
    assert.deepEqual(underWay, [basename(output.partialPath)]);
    assert.match(underWay[0]!, /^\.out\.gguf\.partial-[0-9a-f]{12}$/);
    await output.commit();
    assert.deepEqual(await readdir(folder), ["out.gguf"]);
    assert.deepEqual(
      new Uint8Array(await readFile(path)),
      Uint8Array.from({ length: 1000 }, (_, i) => i % 251),
    );
  });

  it("has its full length from the beginning, zero where nothing is written", async (t) => {
    const { path } = await newPath(t);
    const output = await OutputFile.create(path, 100);
    assert.equal((await stat(output.partialPath)).size, 100);
    await output.write(10, Uint8Array.of(7));
    await output.commit();
    const expected = Buffer.alloc(100);
    expected[10] = 7;
    assert.deepEqual(await readFile(path), expected);
  });

  it("leaves what was there untouched until then", async (t) => {
    const { folder, path } = await newPath(t);
    await writeFile(path, "before");
    const discarded = await OutputFile.create(path, 5);
    await discarded.write(0, Buffer.from("after"));
    assert.equal(await readFile(path, "utf8"), "before");
    await discarded.discard();
    assert.equal(await readFile(path, "utf8"), "before");
    assert.deepEqual(await readdir(folder), ["out.gguf"]);

    const committed = await OutputFile.create(path, 5);
    await committed.write(0, Buffer.from("after"));
    await committed.commit();
    await committed.discard();
    assert.equal(await readFile(path, "utf8"), "after");
    assert.deepEqual(await readdir(folder), ["out.gguf"]);
  });

  it("replaces the file that a symbolic link names, not the link", async (t) => {
    const { folder, path } = await newPath(t);
    await mkdir(join(folder, "disk"));
    await writeFile(join(folder, "disk", "real.gguf"), "before");
    await symlink(join("disk", "real.gguf"), path);
    const output = await OutputFile.create(path, 5);
    await output.write(0, Buffer.from("after"));
    await output.commit();
    assert.equal(await readFile(join(folder, "disk", "real.gguf"), "utf8"), "after");
    assert.deepEqual(await readdir(join(folder, "disk")), ["real.gguf"]);
  });

  it("may have a name as long as the system allows", async (t) => {
    const folder = await temporaryFolder(t);
    const path = join(folder, `${"n".repeat(250)}.gguf`);
    const output = await OutputFile.create(path, 0);
    await output.commit();
    assert.deepEqual(await readdir(folder), [basename(path)]);
  });

  it("refuses what lies outside its length, and all use after its end", async (t) => {
    const { path } = await newPath(t);
    const output = await OutputFile.create(path, 10);
    await assert.rejects(output.write(8, new Uint8Array(3)), {
      name: "InternalError",
      message: `${path}: 3 bytes at 8 lie outside the 10 bytes of the file.`,
    });
    await assert.rejects(output.write(-1, new Uint8Array(1)), { name: "InternalError" });
    await output.discard();
    await assert.rejects(output.write(0, new Uint8Array(1)), {
      message: `${path}: written to after it was discarded.`,
    });
    await assert.rejects(output.commit(), { message: `${path}: committed after it was discarded.` });
  });

  it("is not committed while writes are under way", async (t) => {
    const { path } = await newPath(t);
    const output = await OutputFile.create(path, 10);
    const write = output.write(0, new Uint8Array(10));
    await assert.rejects(output.commit(), { message: `${path}: committed with 1 writes under way.` });
    await write;
    await output.commit();
  });
});

describe("an output file is refused", () => {
  it("where a folder is, or none", async (t) => {
    const { folder, path } = await newPath(t);
    await assert.rejects(OutputFile.create(folder, 1), {
      name: "UsageError",
      message: `${folder}: is a folder; name the file to write.`,
    });
    await assert.rejects(OutputFile.create(`${path}/`, 1), {
      name: "UsageError",
      message: `"${path}/" names a folder; name the file to write.`,
    });
    const nowhere = join(folder, "missing", "out.gguf");
    await assert.rejects(OutputFile.create(nowhere, 1), {
      name: "UsageError",
      message: `${nowhere}: there is no folder ${join(folder, "missing")}; create it first.`,
    });
  });

  it("where a device is", { skip: process.platform === "win32" }, async () => {
    await assert.rejects(OutputFile.create("/dev/null", 1), {
      name: "UsageError",
      message: "/dev/null: is no regular file; name another.",
    });
  });

  // The superuser may write everywhere, and Windows has no such permissions.
  const mayWriteAnything = process.platform === "win32" || process.getuid?.() === 0;

  it("where permissions forbid it", { skip: mayWriteAnything }, async (t) => {
    const { folder, path } = await newPath(t);
    const sentence = `${path}: cannot be written; check the permissions of the file and of ${folder}.`;
    await writeFile(path, "kept", { mode: 0o400 });
    await assert.rejects(OutputFile.create(path, 1), { name: "EnvironmentError", message: sentence });
    await chmod(path, 0o600);
    await chmod(folder, 0o500);
    await assert
      .rejects(OutputFile.create(path, 1), { name: "EnvironmentError", message: sentence })
      .finally(() => chmod(folder, 0o700));
  });

  it("if the disk has no room for it", async (t) => {
    const { folder, path } = await newPath(t);
    await assert.rejects(OutputFile.create(path, 2 ** 52), (error: Error) => {
      assert.equal(error.name, "EnvironmentError");
      assert.match(
        error.message.slice(path.length),
        /^: the disk is full: 4503599\.63 GB are needed and [\d.]+ (GB|bytes) are free, so 450[\d.]+ GB are missing\. Make room or write elsewhere\.$/,
      );
      return true;
    });
    assert.deepEqual(await readdir(folder), []);
  });
});

describe("writing at an offset", () => {
  it("goes on after short writes", async () => {
    const file = new Uint8Array(20);
    const calls: number[] = [];
    const write = async (bytes: Uint8Array, start: number, length: number, offset: number) => {
      const some = Math.min(length, 3);
      calls.push(length);
      file.set(bytes.subarray(start, start + some), offset);
      return { bytesWritten: some, buffer: bytes };
    };
    await writeFully({ write } as unknown as Parameters<typeof writeFully>[0], Buffer.from("12345678"), 5);
    assert.equal(Buffer.from(file.subarray(5, 13)).toString(), "12345678");
    assert.deepEqual(calls, [8, 5, 2]);
  });

  it("gives up when the system writes nothing", async () => {
    const write = async (bytes: Uint8Array) => ({ bytesWritten: 0, buffer: bytes });
    await assert.rejects(
      writeFully({ write } as unknown as Parameters<typeof writeFully>[0], Buffer.from("1"), 0),
      { message: "the system wrote nothing" },
    );
  });
});

test("a name that no file system allows is refused before the work", async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(OutputFile.create(join(folder, "n".repeat(256)), 1), {
    name: "UsageError",
    message: /the name has 256 bytes, and file systems allow 255; choose a shorter one\.$/,
  });
  const output = await OutputFile.create(join(folder, "n".repeat(255)), 1);
  await output.write(0, Uint8Array.of(1));
  await output.commit();
});
