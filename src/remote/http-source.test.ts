import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { type Fault, FileServer, impatient, sha256 } from "../testing/file-server.js";
import { HttpSource } from "./http-source.js";

const content = Uint8Array.from({ length: 100_000 }, (_, index) => (index * 7 + (index >> 8)) % 256);
const path = "/model.gguf";
const options = { retry: impatient };

async function opened(t: Parameters<typeof FileServer.start>[0], more: { stallMs?: number } = {}) {
  const server = await FileServer.start(t, { [path]: content });
  const source = await HttpSource.open(`${server.address}${path}?key=secret`, { ...options, ...more });
  return { server, source, name: `${server.address}${path}` };
}

describe("a file on a web server", () => {
  it("is read in ranges, and nothing else of it is fetched", async (t) => {
    const { server, source, name } = await opened(t);
    assert.equal(source.byteLength, content.byteLength);
    assert.equal(source.name, name);
    assert.deepEqual(await source.read(1234, 5678), content.slice(1234, 1234 + 5678));
    assert.deepEqual(await source.read(99_999, 1), content.slice(99_999));
    assert.deepEqual(await source.read(5, 0), new Uint8Array(0));
    assert.deepEqual(
      server.requests.map(({ range }) => range),
      ["bytes=0-0", "bytes=1234-6911", "bytes=99999-99999"],
    );
    await assert.rejects(source.read(99_999, 2), { name: "MalformedInputError" });
  });

  const passing: Record<string, Fault> = {
    "a dropped connection": "drop",
    "a body that breaks off": "truncate",
    "status 500": { status: 500 },
    "status 503 with Retry-After": { status: 503, headers: { "retry-after": "0" } },
    "status 429": { status: 429, headers: { "retry-after": "Thu, 01 Jan 1970 00:00:00 GMT" } },
  };
  for (const [title, fault] of Object.entries(passing)) {
    it(`is asked for again after ${title}`, async (t) => {
      const { server, source } = await opened(t);
      server.fault = ({ index }) => (index === 1 || index === 2 ? fault : undefined);
      assert.deepEqual(await source.read(10, 1000), content.slice(10, 1010));
      assert.equal(server.requests.length, 4);
    });
  }

  it("is asked for again after a server falls silent", async (t) => {
    const { server, source } = await opened(t, { stallMs: 300 });
    server.fault = ({ index }) => (index === 1 || index === 2 ? "stall" : undefined);
    assert.deepEqual(await source.read(10, 1000), content.slice(10, 1010));
    // At least: on a busy machine an answer that comes late is one that does not come.
    assert.ok(server.requests.length >= 4);
  });

  it("is given up after a bounded number of attempts", async (t) => {
    const { server, source, name } = await opened(t);
    server.fault = () => ({ status: 502 });
    await assert.rejects(source.read(0, 10), {
      name: "EnvironmentError",
      message: `${name}: the server answered with status 502, 5 times in a row; check the network and the address, and try again later.`,
    });
    assert.equal(server.requests.length, 6);
  });

  const permanent: [string, Fault, RegExp][] = [
    ["status 401", { status: 401, body: "<html>GGUF" }, /: the server refuses access \(status 401\); /],
    ["status 403", { status: 403 }, /: the server refuses access \(status 403\); /],
    ["status 404", { status: 404 }, /: does not exist \(status 404\); check the address\.$/],
    ["status 416", { status: 416 }, /: the server answered with status 416; /],
    ["status 204", { status: 204 }, /: the server answered with status 204; /],
    ["a server without ranges", "ignore-range", /: the server cannot send parts of a file /],
    [
      "another range",
      "wrong-range",
      /: the server was asked for bytes 0 to 9 and sent "bytes 1-9\/100000"; /,
    ],
    [
      "a compressed answer",
      { status: 206, headers: { "content-range": "bytes 0-9/100000", "content-encoding": "gzip" } },
      /: the server compresses what it sends \(gzip\)/,
    ],
    [
      "fewer bytes than it says",
      {
        status: 206,
        headers: { "content-range": "bytes 0-9/100000", etag: `"${sha256(content)}"` },
        body: "abc",
      },
      /: the server sent 3 of 10 bytes at 0; /,
    ],
    [
      "more bytes than it says",
      {
        status: 206,
        headers: { "content-range": "bytes 0-9/100000", etag: `"${sha256(content)}"` },
        body: "abcdefghijklmnop",
      },
      /: the server sends more than the 10 bytes expected; /,
    ],
  ];
  for (const [title, fault, message] of permanent) {
    it(`is refused at once for ${title}`, async (t) => {
      const { server, source } = await opened(t);
      server.fault = () => fault;
      await assert.rejects(source.read(0, 10), { name: "EnvironmentError", message });
      assert.equal(server.requests.length, 2);
    });
  }

  it("is an error once it changes, by its ETag or its size", async (t) => {
    const { server, source, name } = await opened(t);
    server.etag = () => `W/"${sha256(content)}"`;
    assert.equal((await source.read(0, 10)).byteLength, 10);
    server.etag = () => '"other"';
    await assert.rejects(source.read(0, 10), {
      name: "MalformedInputError",
      message: `${name}: the file on the server changed while it was read (it was "${sha256(content)}", now "other"); start again.`,
    });
    server.etag = () => `"${sha256(content)}"`;
    server.files.set(path, content.slice(1));
    await assert.rejects(source.read(0, 10), {
      name: "MalformedInputError",
      message: /it was 100000 bytes, now 99999 bytes/,
    });
  });

  it("is not waited for once the work is stopped", async (t) => {
    const server = await FileServer.start(t, { [path]: content });
    const stop = new AbortController();
    const { signal } = stop;
    const source = await HttpSource.open(`${server.address}${path}`, { signal });
    server.fault = () => "stall";
    setTimeout(() => stop.abort(), 20);
    await assert.rejects(source.read(0, 10), { name: "CancelledError" });
    assert.deepEqual(getEventListeners(signal, "abort"), [], "requests that are over leave nothing behind");
  });

  it("is read past redirects, and again past the redirect when the direct address expires", async (t) => {
    const { server, source } = await opened(t);
    const redirect = { status: 302, headers: { location: "/cdn/one" } };
    server.files.set("/cdn/one", content);
    server.fault = ({ path: asked }) => (asked === path ? redirect : undefined);
    await source.read(0, 10);
    await source.read(10, 10);
    assert.deepEqual(
      server.requests.slice(1).map((request) => request.path),
      [path, "/cdn/one", "/cdn/one"],
    );
    server.fault = ({ path: asked }) => (asked === "/cdn/one" ? { status: 403 } : undefined);
    assert.deepEqual(await source.read(20, 10), content.slice(20, 30));
  });

  it("cannot be opened where nothing listens, or under what is no address", async (t) => {
    const { server } = await opened(t);
    server.fault = () => "drop";
    await assert.rejects(HttpSource.open(`${server.address}/x.gguf`, options), {
      name: "EnvironmentError",
      message: /: the connection failed \(UND_ERR_SOCKET\), 5 times in a row; /,
    });
    await assert.rejects(HttpSource.open("http://user:password@127.0.0.1/x.gguf", options), {
      name: "UsageError",
    });
    await assert.rejects(HttpSource.open("http://[/x.gguf", options), { name: "UsageError" });
  });

  it("that is empty is said to be", async (t) => {
    const server = await FileServer.start(t);
    server.fault = () => ({ status: 416, headers: { "content-range": "bytes */0" } });
    await assert.rejects(HttpSource.open(`${server.address}/x.gguf`, options), {
      message: `${server.address}/x.gguf: is empty: it has 0 bytes.`,
    });
  });
});

describe("the checksum of a file on a web server", () => {
  it("is that of what is read in order, fetching nothing twice but what is asked for twice", async (t) => {
    const { server, source } = await opened(t);
    source.remote.beginChecksum();
    const reads = [source.read(500, 30_000), source.read(30_500, 20_000), source.read(50_500, 49_000)];
    for (const bytes of await Promise.all(reads)) {
      bytes.fill(0); // it is the reader's
    }
    await source.read(40_000, 100);
    assert.equal(await source.remote.sha256(), sha256(content));
    assert.equal(server.bytesSent, 1 + content.byteLength + 100);
  });

  it("is right whatever is read", async (t) => {
    const { source } = await opened(t);
    source.remote.beginChecksum();
    await Promise.all([source.read(70_000, 100), source.read(50, 100), source.read(90_000, 10_000)]);
    assert.equal(await source.remote.sha256(), sha256(content));
  });

  it("survives a read that failed", async (t) => {
    const { server, source } = await opened(t);
    source.remote.beginChecksum();
    server.fault = ({ range }) => (range === "bytes=0-999" ? { status: 403 } : undefined);
    const first = assert.rejects(source.read(0, 1000));
    await source.read(1000, 1000);
    await first;
    assert.equal(await source.remote.sha256(), sha256(content));
  });
});
