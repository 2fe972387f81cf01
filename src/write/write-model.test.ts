import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { formatIdentity, identityOfProcess } from "../bytes/process-identity.js";
import { MemorySource } from "../bytes/source.js";
import { CancelledError } from "../errors.js";
import { readGgufHeader } from "../gguf/reader.js";
import { openGguf } from "../model/gguf-model.js";
import type { ModelSource } from "../model/source.js";
import type { TypeName } from "../quants/types.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { fill, uniform } from "../testing/random.js";
import { temporaryFolder } from "../testing/temporary.js";
import type { WrittenModel } from "./model-writer.js";
import { writeModel } from "./write-model.js";

/** 41 slices: one for each expert, one for each matrix. */
const tensors = [
  { name: "token_embd.weight", shape: [64, 96], type: "F32" },
  { name: "blk.0.ffn_down_exps.weight", shape: [32, 40, 13], type: "F32" },
  { name: "blk.0.ffn_up_exps.weight", shape: [64, 20, 13], type: "F32" },
  { name: "blk.0.ffn_gate_exps.weight", shape: [64, 20, 13], type: "F32" },
  { name: "output_norm.weight", shape: [64], type: "F32" },
] as const;
const sliceCount = 41;

interface Options {
  readonly type?: TypeName;
  readonly resume?: boolean;
  readonly restart?: boolean;
  readonly splitMaxSize?: number;
  readonly ownShard?: readonly string[];
  /** Stop after this many slices. */
  readonly stopAfter?: number;
  readonly onSliceWritten?: (count: number) => void;
  /** Of the first tensor's columns. */
  readonly importance?: () => readonly Float32Array[];
}

/** A small model in a folder of its own, and a function that quantizes it to `folder/out.gguf`. */
async function setUp(
  t: TestContext,
  seed = 1,
  stored: Parameters<typeof writeGgufFile>[1]["tensors"] = tensors,
) {
  const folder = await temporaryFolder(t);
  const path = await writeGgufFile(join(folder, "source.gguf"), {
    metadata: { "general.architecture": "llama" },
    tensors: stored,
    seed,
  });
  const source = await openGguf(path);
  t.after(() => source.close());
  const outputFolder = join(folder, "out");
  await mkdir(outputFolder);
  return { folder: outputFolder, source, write: (options: Options) => write(source, outputFolder, options) };
}

async function write(
  source: ModelSource,
  folder: string,
  { type = "Q8_0", stopAfter, onSliceWritten, importance, ...options }: Options,
): Promise<WrittenModel> {
  const stop = new AbortController();
  let finished = 0;
  return await writeModel({
    ...options,
    source,
    output: join(folder, "out.gguf"),
    tensors: source.tensors.map((tensor, index) => ({
      source: tensor,
      type: tensor.shape.length > 1 ? type : "F32",
      importance: index === 0 ? importance : undefined,
    })),
    metadata: (sha256) =>
      new Map(source.metadata).set("test.source", { type: "string", value: sha256.join() }),
    step: "quantize",
    inputs: { type },
    threads: 0,
    signal: stop.signal,
    onProgress: ({ step }) => {
      if (step !== "quantize") {
        return;
      }
      if (++finished === stopAfter) {
        stop.abort();
      }
      onSliceWritten?.(finished);
    },
  });
}

/** Runs until `stopAfter` slices are written, and returns what is left of the run. */
async function interrupted(set: Awaited<ReturnType<typeof setUp>>, options: Options) {
  await assert.rejects(set.write(options), (error: Error) => {
    assert.ok(error instanceof CancelledError, error.stack);
    assert.equal(error.message, "stopped; run the same command with `resume` to continue.");
    return true;
  });
  return { partial: join(set.folder, ".out.gguf.partial"), journal: join(set.folder, ".out.gguf.journal") };
}

describe("an interrupted run", () => {
  it("is continued to the same bytes and figures, wherever it was stopped", async (t) => {
    const set = await setUp(t);
    const whole = await set.write({});
    assert.ok(whole.relativeErrors[0]! > 0);
    for (const stopAfter of [1, 2, 14, 27, 38]) {
      const left = await interrupted(set, { stopAfter });
      assert.deepEqual((await readdir(set.folder)).sort(), [
        ".out.gguf.journal",
        ".out.gguf.partial",
        "out.gguf",
      ]);
      await rm(join(set.folder, "out.gguf"));
      const resumed = await set.write({ resume: true });
      assert.equal(resumed.sha256, whole.sha256);
      assert.deepEqual(resumed.relativeErrors, whole.relativeErrors);
      assert.ok(resumed.weights < whole.weights);
      assert.deepEqual(await readdir(set.folder), ["out.gguf"]);
      await assert.rejects(readFile(left.journal), { code: "ENOENT" });
    }
  });

  it("may be interrupted again and again", async (t) => {
    const set = await setUp(t);
    const { sha256 } = await set.write({});
    for (let i = 0; i < 6; i++) {
      await interrupted(set, { stopAfter: 5, resume: true });
    }
    assert.equal((await set.write({ resume: true })).sha256, sha256);
  });

  it("survives the loss of any end of its journal and of its file", async (t) => {
    const set = await setUp(t);
    const whole = await set.write({});
    const { partial, journal } = await interrupted(set, { stopAfter: 33 });
    const saved = { partial: await readFile(partial), journal: await readFile(journal) };
    const restore = () => Promise.all([writeFile(partial, saved.partial), writeFile(journal, saved.journal)]);
    const lengths = (length: number, step: number) =>
      Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);

    const done: number[] = [];
    for (const length of lengths(saved.journal.byteLength, 41)) {
      await restore();
      await truncate(journal, length);
      const { sha256, relativeErrors, weights } = await set.write({ resume: true });
      assert.equal(sha256, whole.sha256, `journal of ${length} bytes`);
      assert.deepEqual(relativeErrors, whole.relativeErrors);
      done.push(whole.weights - weights);
    }
    assert.deepEqual(
      done,
      done.toSorted((a, b) => a - b),
    );
    assert.ok(new Set(done).size >= 30, "every record of the journal counts");
    for (const length of lengths(saved.partial.byteLength, 5003)) {
      await restore();
      await truncate(partial, length);
      assert.equal((await set.write({ resume: true })).sha256, whole.sha256, `file of ${length} bytes`);
    }
    await restore();
    await rm(partial);
    assert.equal((await set.write({ resume: true })).sha256, whole.sha256);
    await restore();
    await rm(journal);
    assert.equal((await set.write({ resume: true })).sha256, whole.sha256);
  });

  it("survives wrong bytes in its journal and in its file", async (t) => {
    const set = await setUp(t);
    const whole = await set.write({});
    const { partial, journal } = await interrupted(set, { stopAfter: 33 });
    for (const path of [journal, partial]) {
      const saved = { partial: await readFile(partial), journal: await readFile(journal) };
      const bytes = path === journal ? saved.journal : saved.partial;
      for (let i = 0; i < 12; i++) {
        await Promise.all([writeFile(partial, saved.partial), writeFile(journal, saved.journal)]);
        const wrong = Buffer.from(bytes);
        wrong[Math.floor((bytes.byteLength * i) / 12)]! ^= 0x10;
        await writeFile(path, wrong);
        assert.equal((await set.write({ resume: true })).sha256, whole.sha256);
      }
      await Promise.all([writeFile(partial, saved.partial), writeFile(journal, saved.journal)]);
    }
  });

  it("is not touched unless that is asked for, and may be thrown away", async (t) => {
    const set = await setUp(t);
    const { partial } = await interrupted(set, { stopAfter: 20 });
    const before = await readFile(partial);
    const output = join(set.folder, "out.gguf");
    await assert.rejects(set.write({}), {
      name: "UsageError",
      message: `${output}: an earlier run was not finished (48 % done); continue it with \`resume\`, or start over with \`restart\`.`,
    });
    assert.deepEqual(await readFile(partial), before);
    await assert.rejects(set.write({ resume: true, restart: true }), {
      message: "`resume` and `restart` contradict each other; use one.",
    });
    const restarted = await set.write({ restart: true });
    assert.equal(
      restarted.weights,
      tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    );
    assert.deepEqual(await readdir(set.folder), ["out.gguf"]);
  });

  it("is not continued with other inputs, and the message names them", async (t) => {
    const set = await setUp(t);
    await interrupted(set, { stopAfter: 20 });
    const output = join(set.folder, "out.gguf");
    const message = (what: string) =>
      `${output}: its unfinished run was begun with ${what}; repeat the command it was begun with, or start over with \`restart\`.`;
    await assert.rejects(set.write({ resume: true, type: "Q4_0" }), {
      name: "UsageError",
      message: message("another type"),
    });
    const other = await setUp(t, 2);
    await assert.rejects(write(other.source, set.folder, { resume: true }), {
      message: message("another source"),
    });
    await assert.rejects(write(other.source, set.folder, { resume: true, type: "Q4_0" }), {
      message: message("another source and another type"),
    });
    await set.write({ resume: true });
  });

  it("is not continued with a source that differs in a single weight", async (t) => {
    const large = [{ name: "blk.0.ffn_down_exps.weight", shape: [256, 100, 13], type: "F32" }] as const;
    const set = await setUp(t, 1, large);
    await interrupted(set, { stopAfter: 10 });
    const path = set.source.files[0]!.name;
    const before = await readFile(path);
    const damaged = Buffer.from(before);
    const { tensors: stored } = await readGgufHeader(new MemorySource("source", before));
    const [experts] = stored;
    // The pieces that identify a source are 4 KiB every 21 KiB of this one: a byte between two of them.
    const length = 4096;
    const starts = Array.from({ length: 64 }, (_, i) => Math.floor(((before.byteLength - length) * i) / 63));
    const isSeen = (at: number) => starts.some((start) => at >= start && at < start + length);
    let at = experts!.offset;
    while (isSeen(at)) {
      at++;
    }
    damaged[at]! ^= 1;
    await writeFile(path, damaged);
    await assert.rejects(set.write({ resume: true }), {
      name: "UsageError",
      message:
        /was begun with another source \(blk\.0\.ffn_down_exps\.weight, expert \d+ has other weights\)/,
    });
    await writeFile(path, before);
    await set.write({ resume: true });
  });

  it("is thrown away if the source was written to meanwhile", async (t) => {
    const set = await setUp(t);
    const path = set.source.files[0]!.name;
    await assert.rejects(
      set.write({
        onSliceWritten: (count) => {
          if (count === 10) {
            utimesSync(path, 1, 1);
          }
        },
      }),
      { name: "MalformedInputError", message: /was changed while it was being read/ },
    );
    assert.deepEqual(await readdir(set.folder), []);
  });

  it("of a set of files is continued, also from the moment when the files get their names", async (t) => {
    const set = await setUp(t);
    const options = { splitMaxSize: 20_000 };
    const whole = await set.write(options);
    const names = [1, 2, 3, 4].map((number) => `out-0000${number}-of-00004.gguf`);
    assert.deepEqual(await readdir(set.folder), names);
    assert.deepEqual(
      whole.files.map(({ path }) => path),
      names.map((name) => join(set.folder, name)),
    );
    await interrupted(set, { ...options, stopAfter: 25 });
    assert.deepEqual((await set.write({ ...options, resume: true })).files, whole.files);

    // All slices done, the last files named already.
    await interrupted(set, { ...options, stopAfter: sliceCount });
    await rename(join(set.folder, `.${names[3]}.partial`), join(set.folder, names[3]!));
    await rename(join(set.folder, `.${names[2]}.partial`), join(set.folder, names[2]!));
    const resumed = await set.write({ ...options, resume: true });
    assert.deepEqual(resumed.files, whole.files);
    assert.equal(resumed.weights, 0);
    assert.deepEqual(await readdir(set.folder), names);
  });

  it("of files for single tensors is continued, whatever their place in the source", async (t) => {
    const set = await setUp(t);
    const options = { ownShard: ["embedding"] };
    const whole = await set.write(options);
    assert.equal(whole.files.length, 2);
    const written = await openGguf(whole.files[0]!.path);
    t.after(() => written.close());
    const names = (file: number) =>
      written.tensors.filter((tensor) => tensor.file === file).map(({ name }) => name);
    assert.deepEqual(names(1), ["token_embd.weight"]);
    assert.equal(names(0).length, 4);
    await interrupted(set, { ...options, stopAfter: 25 });
    assert.deepEqual((await set.write({ ...options, resume: true })).files, whole.files);
    await assert.rejects(set.write({ ownShard: ["embeding"] }), /is not a role; did you mean "embedding"/);
    await assert.rejects(set.write({ ownShard: ["router"] }), /has no tensor of the role router/);
  });

  it("leaves nothing if nothing was done", async (t) => {
    const set = await setUp(t);
    const stopped = AbortSignal.abort();
    await assert.rejects(
      writeModel({
        source: set.source,
        output: join(set.folder, "out.gguf"),
        tensors: set.source.tensors.map((source) => ({ source, type: "F32" as const })),
        metadata: () => set.source.metadata,
        step: "quantize",
        inputs: {},
        threads: 0,
        signal: stopped,
      }),
      { name: "CancelledError", message: "stopped; no output file was left." },
    );
    assert.deepEqual(await readdir(set.folder), []);
  });
});

describe("the output is verified before it gets its name", () => {
  it("against other bytes than were written", async (t) => {
    const set = await setUp(t);
    const partial = join(set.folder, ".out.gguf.partial");
    const output = join(set.folder, "out.gguf");
    const { sha256 } = await set.write({});
    await rm(output);
    const failing = set.write({
      onSliceWritten: (count) => {
        if (count < sliceCount) {
          return;
        }
        const bytes = readFileSync(partial);
        writeFileSync(partial, bytes.fill(0x55, 1000));
      },
    });
    await assert.rejects(failing, {
      name: "EnvironmentError",
      message: `${output}: token_embd.weight: the disk gives back other bytes than were written; check it, and the memory. What is done is kept; run the same command with \`resume\` to continue.`,
    });
    assert.deepEqual((await readdir(set.folder)).sort(), [".out.gguf.journal", ".out.gguf.partial"]);
    assert.equal((await set.write({ resume: true })).sha256, sha256);
  });

  it("against other weights than the encoder meant", async (t) => {
    const set = await setUp(t);
    const importance = [1, 2].map((seed) => fill(64, uniform(seed)));
    let asked = 0;
    await assert.rejects(set.write({ importance: () => [importance[asked++]!] }), {
      name: "InternalError",
      message: `${join(set.folder, "out.gguf")}: token_embd.weight: what was written decodes to other weights than the encoder reported; check the machine's memory and start over with \`restart\`.`,
    });
    assert.equal(asked, 2);
    assert.ok(!(await readdir(set.folder)).includes("out.gguf"));
  });
});

describe("two processes that write the same file", () => {
  it("do not meet: the second is refused, and the lock of a dead one does not matter", async (t) => {
    const set = await setUp(t);
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    await once(other, "spawn");
    const lock = join(set.folder, `.out.gguf.lock-${formatIdentity(identityOfProcess(other.pid))}`);
    await writeFile(lock, "");
    await assert.rejects(set.write({}), {
      name: "UsageError",
      message: `${join(set.folder, "out.gguf")}: process ${other.pid} is writing it; wait for its end, or delete ${lock} if it no longer runs.`,
    });
    assert.deepEqual(await readdir(set.folder), [lock.slice(set.folder.length + 1)]);
    other.kill("SIGKILL");
    await once(other, "exit");
    await set.write({});
    assert.deepEqual(await readdir(set.folder), ["out.gguf"]);
  });

  it("do not take each other's lock from another container, or after the number was given away", async (t) => {
    const set = await setUp(t);
    const own = identityOfProcess();
    const lockOf = (change: Partial<typeof own>) =>
      join(set.folder, `.out.gguf.lock-${formatIdentity({ ...own, ...change })}`);
    // No process has this number here; in the other container one has.
    const elsewhere = lockOf({ namespace: "1", pid: 2 ** 22 + 1 });
    await writeFile(elsewhere, "");
    await assert.rejects(set.write({}), {
      name: "UsageError",
      message: /in another container is writing it/,
    });
    await rm(elsewhere);
    const otherHost = lockOf({ host: "far.away", pid: 2 ** 22 + 1 });
    await writeFile(otherHost, "");
    await assert.rejects(set.write({}), { name: "UsageError", message: /on far\.away is writing it/ });
    await rm(otherHost);
    // Our own number, of an earlier process; and one of before the machine was started again.
    await writeFile(lockOf({ started: "1" }), "");
    const initial = (0xeffffffc).toString(36);
    if (own.namespace === initial) {
      await writeFile(lockOf({ boot: "abcdef" }), "");
    }
    await set.write({});
    assert.deepEqual(await readdir(set.folder), ["out.gguf"]);
  });

  it("do not meet within one process either", async (t) => {
    const set = await setUp(t);
    const both = await Promise.allSettled([set.write({}), set.write({})]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    assert.deepEqual(await readdir(set.folder), ["out.gguf"]);
  });
});
