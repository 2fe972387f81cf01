import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { EnvironmentError, UsageError } from "../errors.js";
import { impatient } from "../testing/file-server.js";
import { temporaryFolder } from "../testing/temporary.js";
import { UploadHub } from "../testing/upload-hub.js";
import { publish } from "./publish.js";

const token = "hf_test";

/** A folder as make leaves it, with things that are not for others; sizes for each way of uploading. */
async function madeFolder(t: TestContext): Promise<string> {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, ".lopsided"));
  const files = {
    "tiny-asym-IQ2_S.gguf": Buffer.alloc(11_111, "weights"),
    "imatrix.gguf": Buffer.alloc(2000, "statistics"),
    "README.md": "# card",
    "recipe.yaml": "name: x",
    "evaluation.json": "{}",
    "notes.txt": "mine",
    ".tiny.gguf.partial": "half",
    ".lopsided/moments": "large",
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content);
  }
  return folder;
}

const published = ["README.md", "evaluation.json", "imatrix.gguf", "recipe.yaml", "tiny-asym-IQ2_S.gguf"];

async function setUp(t: TestContext) {
  const [folder, hub] = [await madeFolder(t), await UploadHub.start(t, token)];
  const options = {
    folder,
    repository: "hf://some-one/Tiny",
    endpoint: hub.address,
    token,
    retry: impatient,
  };
  return { folder, hub, options };
}

describe("publish", () => {
  it("uploads what is for others in one commit, and creates the repository", async (t) => {
    const { folder, hub, options } = await setUp(t);
    const result = await publish({ ...options, private: true });
    const repository = hub.repositories.get("some-one/Tiny");
    assert.equal(repository?.visibility, "private");
    const { files, title } = repository.branches.get("main")!;
    assert.match(title, /^Upload 5 files made by Lopsided/);
    assert.deepEqual([...files.keys()].sort(), published);
    for (const [name, bytes] of files) {
      assert.ok(bytes.equals(await readFile(join(folder, name))), name);
    }
    assert.deepEqual(
      result.files.map(({ path }) => path),
      published,
    );
    assert.equal(result.commit, "c".repeat(40));
    assert.equal(hub.leakedTokens, 0);
    assert.ok(hub.requests.some((line) => line.includes("/storage/part/")));
    assert.ok(hub.requests.some((line) => line.includes("/storage/basic/")));
  });

  it("uploads again without sending what the hub has, and to another branch", async (t) => {
    const { hub, options } = await setUp(t);
    await publish(options);
    hub.requests.length = 0;
    await publish({ ...options, revision: "next" });
    assert.ok(!hub.requests.some((line) => line.includes("/storage/")));
    const branches = hub.repositories.get("some-one/Tiny")?.branches;
    assert.deepEqual([...(branches?.get("next")?.files.keys() ?? [])].sort(), published);
  });

  it("tries again what may pass", async (t) => {
    const { hub, options } = await setUp(t);
    const failed = new Set<string>();
    hub.fault = (line) => {
      if (failed.has(line)) {
        return undefined;
      }
      failed.add(line);
      return 503;
    };
    await publish(options);
    assert.equal(hub.repositories.get("some-one/Tiny")?.branches.get("main")?.files.size, 5);
  });

  it("only says what would be uploaded in a dry run", async (t) => {
    const { hub, options } = await setUp(t);
    const { files, bytes, commit } = await publish({ ...options, dryRun: true });
    assert.equal(files.length, 5);
    assert.equal(bytes, 11_111 + 2000 + 6 + 7 + 2);
    assert.equal(commit, undefined);
    assert.deepEqual(hub.requests, []);
  });

  it("says what the hub refuses, and what to do", async (t) => {
    const { options } = await setUp(t);
    await assert.rejects(publish({ ...options, token: "hf_other" }), (error) => {
      assert.ok(error instanceof EnvironmentError);
      assert.match(error.message, /status 401: Invalid credentials; set HF_TOKEN to a token that may write/);
      return true;
    });
    await assert.rejects(publish({ ...options, token: "" }), /set HF_TOKEN to a token that may write/);
  });

  it("refuses a folder that is not finished, or that has nothing to publish", async (t) => {
    const { folder, options } = await setUp(t);
    const state = { format: "lopsided make 1", stages: {}, underWay: { quantize: {} } };
    await writeFile(join(folder, ".lopsided", "state.json"), JSON.stringify(state));
    await assert.rejects(publish(options), /its stage "quantize" is not finished; run the same/);
    const empty = await temporaryFolder(t);
    await assert.rejects(publish({ ...options, folder: empty }), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /has no model to publish; run "lopsided make" first/);
      return true;
    });
    await assert.rejects(publish({ ...options, repository: "hf://some-one/Tiny/x.gguf" }), /names a file/);
  });
});
