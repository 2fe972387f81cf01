import assert from "node:assert/strict";
import { readFile, rm, utimes, writeFile } from "node:fs/promises";
import { describe, it, type TestContext } from "node:test";
import { CancelledError, UsageError } from "../errors.js";
import { temporaryFolder } from "../testing/temporary.js";
import { MakeFolder } from "./folder.js";
import { type Stage, type StageEvent, Stages } from "./stages.js";

/** Runs stages in a folder, each time as another process would: from what is on the disk. */
async function sessions(t: TestContext) {
  const path = await temporaryFolder(t);
  return async <T>(use: (stages: Stages, folder: MakeFolder) => Promise<T>) => {
    const folder = await MakeFolder.open(path);
    const events: StageEvent[] = [];
    try {
      const listener = { onStage: (event: StageEvent) => events.push(event), onProgress: () => {} };
      const result = await use(new Stages(folder, listener, undefined), folder);
      return { result, events: events.map(({ event }) => event), all: events };
    } finally {
      await folder.close();
    }
  };
}

/** A stage that writes its text to a file. */
function writing(folder: MakeFolder, text: string, file = "out.txt"): Stage<{ length: number }> {
  return {
    name: "write",
    inputs: { text },
    run: async () => {
      await writeFile(folder.file(file), text);
      return { length: text.length };
    },
    files: () => [{ path: folder.file(file) }],
  };
}

describe("stages", () => {
  it("are done once, and then say what they found", async (t) => {
    const session = await sessions(t);
    const first = await session((stages, folder) => stages.run(writing(folder, "one")));
    const second = await session((stages, folder) =>
      stages.run({ ...writing(folder, "one"), run: () => assert.fail("it was done already") }),
    );
    assert.deepEqual(first.events, ["begins", "finished"]);
    assert.deepEqual(second.events, ["skipped"]);
    assert.deepEqual(second.result, first.result);
    assert.equal(second.result.sha256.length, 1);
  });

  it("are done again when an input changed, and say which", async (t) => {
    const session = await sessions(t);
    await session((stages, folder) => stages.run(writing(folder, "one")));
    const { all } = await session((stages, folder) => stages.run(writing(folder, "two")));
    assert.deepEqual(all[0], { stage: "write", event: "begins", because: "text changed" });
  });

  it("are done again when a file they left is gone or has other bytes, but not when only its date changed", async (t) => {
    const session = await sessions(t);
    const again = async (change: (path: string) => Promise<void>) => {
      await session((stages, folder) => stages.run(writing(folder, "one")));
      return await session(async (stages, folder) => {
        await change(folder.file("out.txt"));
        await stages.run(writing(folder, "one"));
        return await readFile(folder.file("out.txt"), "utf8");
      });
    };
    const gone = await again((path) => rm(path));
    assert.deepEqual([gone.events, gone.result], [["begins", "finished"], "one"]);
    assert.equal((gone.all[0] as { because?: string }).because, "out.txt is missing");
    const changed = await again((path) => writeFile(path, "uno"));
    assert.deepEqual([changed.events, changed.result], [["begins", "finished"], "one"]);
    const touched = await again((path) => utimes(path, 1, 1));
    assert.deepEqual(touched.events, ["skipped"]);
  });

  it("remove a file that they left under another name", async (t) => {
    const session = await sessions(t);
    await session((stages, folder) => stages.run(writing(folder, "one", "old.txt")));
    await session(async (stages, folder) => {
      await stages.run(writing(folder, "two", "new.txt"));
      await assert.rejects(readFile(folder.file("old.txt")), { code: "ENOENT" });
    });
  });

  it("go on with unfinished work of the same inputs only", async (t) => {
    const session = await sessions(t);
    const interrupted = (stages: Stages, folder: MakeFolder, text: string) =>
      stages.run({
        ...writing(folder, text),
        run: async ({ continues }) => {
          throw new CancelledError(`continues: ${continues}`);
        },
      });
    const causes: unknown[] = [];
    for (const text of ["one", "one", "two"]) {
      await session((stages, folder) => interrupted(stages, folder, text)).catch((error: unknown) => {
        assert.ok(error instanceof CancelledError);
        assert.match(error.message, /^stopped in write; .* the same command goes on from there\.$/);
        causes.push((error.cause as Error).message);
      });
    }
    assert.deepEqual(causes, ["continues: false", "continues: true", "continues: false"]);
  });

  it("are all done again where the state is damaged", async (t) => {
    const session = await sessions(t);
    await session(async (stages, folder) => {
      await stages.run(writing(folder, "one"));
      await writeFile(folder.workFile("state.json"), '{"format":"lopsided make 1","stages":{"wri');
    });
    const { events } = await session((stages, folder) => stages.run(writing(folder, "one")));
    assert.deepEqual(events, ["begins", "finished"]);
  });
});

describe("a folder", () => {
  it("is for one run at a time, and is rid of what a killed run left half-written", async (t) => {
    const path = await temporaryFolder(t);
    await writeFile(`${path}/.imatrix.gguf.partial-0123456789ab`, "half");
    await writeFile(`${path}/.imatrix.gguf.partial`, "to go on with");
    const folder = await MakeFolder.open(path);
    await assert.rejects(readFile(`${path}/.imatrix.gguf.partial-0123456789ab`), { code: "ENOENT" });
    assert.equal(await readFile(`${path}/.imatrix.gguf.partial`, "utf8"), "to go on with");
    await assert.rejects(MakeFolder.open(path), UsageError);
    await folder.close();
    await (await MakeFolder.open(path)).close();
  });
});
