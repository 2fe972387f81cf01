import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openModel } from "../model/open.js";
import { convert } from "../quantize/convert.js";
import { quantize } from "../quantize/quantize.js";
import { relayout } from "../quantize/relayout.js";
import { fixture } from "../testing/command.js";
import { FileServer, impatient } from "../testing/file-server.js";
import { temporaryFolder } from "../testing/temporary.js";
import { parseS3Address, S3Folder } from "./s3.js";

/** A bucket on this machine, by path as every S3 server has it; three names a page. */
async function startBucket(t: TestContext, objects: Readonly<Record<string, Uint8Array>>) {
  const files = Object.entries(objects).map(([key, bytes]) => [`/models/${key}`, bytes]);
  const server = await FileServer.start(t, Object.fromEntries(files));
  server.fault = ({ path, query }) => {
    if (path !== "/models" && path !== "/models/") {
      return undefined;
    }
    const question = new URLSearchParams(query);
    const prefix = question.get("prefix") ?? "";
    assert.deepEqual([question.get("list-type"), question.get("delimiter")], ["2", "/"]);
    const keys = Object.keys(objects).filter((key) => {
      return key.startsWith(prefix) && !key.slice(prefix.length).includes("/");
    });
    const start = Number(question.get("continuation-token")?.split("&")[1] ?? 0);
    const shown = keys.sort().slice(start, start + 3);
    const contents = shown.map((key) => {
      const encoded = key.split("/").map(encodeURIComponent).join("/").replaceAll("%20", "+");
      return `<Contents><Key>${encoded}</Key><Size>${objects[key]?.byteLength}</Size></Contents>`;
    });
    const more = start + 3 < keys.length;
    const token = more ? `<NextContinuationToken>at&amp;${start + 3}</NextContinuationToken>` : "";
    const body = `<?xml version="1.0"?><ListBucketResult><IsTruncated>${more}</IsTruncated>${contents.join("")}${token}</ListBucketResult>`;
    return { status: 200, headers: { "content-type": "application/xml" }, body };
  };
  const before = process.env.AWS_ENDPOINT_URL;
  process.env.AWS_ENDPOINT_URL = server.address;
  t.after(() => {
    if (before === undefined) {
      delete process.env.AWS_ENDPOINT_URL;
    } else {
      process.env.AWS_ENDPOINT_URL = before;
    }
  });
  return server;
}

const model = fixture("tiny-moe-q8_0.gguf");

test("a set of files in a bucket is quantized to the bytes of the local one", async (t) => {
  const folder = await temporaryFolder(t);
  const { files } = await relayout({ model, output: join(folder, "set.gguf"), splitMaxSize: 4e6 });
  assert.ok(files.length > 1);
  const objects = await Promise.all(
    files.map(async ({ path }) => {
      return [`a folder/${path.slice(folder.length + 1)}`, await readFile(path)] as const;
    }),
  );
  const server = await startBucket(t, Object.fromEntries(objects));
  const [[first = ""] = []] = objects;
  const remote = join(folder, "remote.gguf");
  const local = join(folder, "local.gguf");
  const options = { base: "Q4_0", allowRequantize: true, threads: 1 };
  await quantize({ model: `s3://models/${first}`, output: remote, ...options });
  await quantize({ model: files[0]?.path ?? "", output: local, ...options });
  assert.deepEqual(await readFile(remote), await readFile(local));
  assert.ok(server.requests.every(({ authorization }) => authorization === undefined));
});

test("a checkpoint in a bucket is converted to the bytes of the local one", async (t) => {
  const folder = await temporaryFolder(t);
  const names = await readdir(fixture("tiny-moe"));
  const objects = await Promise.all(
    names.map(
      async (name) => [`qwen/tiny-moe/${name}`, await readFile(fixture(`tiny-moe/${name}`))] as const,
    ),
  );
  await startBucket(t, { ...Object.fromEntries(objects), "qwen/tiny-moe/": new Uint8Array(0) });
  const remote = join(folder, "remote.gguf");
  const local = join(folder, "local.gguf");
  await convert({ folder: "s3://models/qwen/tiny-moe/", output: remote, type: "bf16", threads: 1 });
  await convert({ folder: fixture("tiny-moe"), output: local, type: "bf16", threads: 1 });
  assert.deepEqual(await readFile(remote), await readFile(local));
});

test("an object that is not there or not public is one sentence that says what to do", async (t) => {
  const server = await startBucket(t, {});
  await assert.rejects(openModel("s3://models/m.gguf", { retry: impatient }), {
    name: "EnvironmentError",
    message: "s3://models/m.gguf: does not exist (status 404); check the address.",
  });
  server.fault = () => ({ status: 403 });
  for (const address of ["s3://models/m.gguf", "s3://models/folder"]) {
    await assert.rejects(openModel(address, { retry: impatient }), {
      name: "EnvironmentError",
      message: `${address}: the server refuses access (status 403); only public objects are read so; give the https address that \`aws s3 presign\` makes for others.`,
    });
  }
});

test("a server that lists what lies elsewhere, or without end, is refused", async (t) => {
  const server = await startBucket(t, {});
  const folder = new S3Folder(parseS3Address("s3://models/a"), { retry: impatient });
  for (const key of ["b/config.json", "a/../config.json", "a/%2e%2e", "a/x/config.json"]) {
    server.fault = () => ({ status: 200, body: `<Contents><Key>${key}</Key></Contents>` });
    await assert.rejects(new S3Folder(parseS3Address("s3://models/a"), {}).list(), {
      name: "EnvironmentError",
      message: /^s3:\/\/models\/a: the server lists ".*" in "a\/"; check AWS_ENDPOINT_URL\.$/,
    });
  }
  server.fault = () => ({ status: 200, body: "<NextContinuationToken>1</NextContinuationToken>" });
  await assert.rejects(folder.list(), { name: "EnvironmentError", message: /does not end/ });
});

test("an address that leads out of its bucket, or a server's that is none, is refused", async (t) => {
  for (const address of [
    "s3://models/../other/m.gguf",
    "s3://Models/m.gguf",
    "s3:///m.gguf",
    "s3://models//m",
  ]) {
    await assert.rejects(openModel(address), { name: "UsageError", message: /is not of the form s3:/ });
  }
  await startBucket(t, {});
  process.env.AWS_ENDPOINT_URL = "http://name:secret@127.0.0.1:1";
  await assert.rejects(openModel("s3://models/m.gguf"), {
    name: "UsageError",
    message: 'AWS_ENDPOINT_URL: "http://127.0.0.1:1" is not the address of a server; correct it.',
  });
});
