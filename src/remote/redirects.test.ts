import assert from "node:assert/strict";
import type { IncomingHttpHeaders, RequestListener } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { testCertificate, testKey, trustTestCertificate } from "../testing/tls.js";
import { fetchFollowing } from "./redirects.js";

interface Asked {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A server that answers `/to?status=S&where=W` with a redirect, and all else with what it was asked. */
async function startServer(t: TestContext, isSecure = false): Promise<{ address: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const listener: RequestListener = async (request, response) => {
    let body = "";
    for await (const chunk of request) {
      body += chunk;
    }
    const { method, url, headers } = request;
    asked.push({ method, path: url, headers, body });
    const { pathname, searchParams } = new URL(url ?? "/", "http://x");
    if (pathname === "/to") {
      const where = searchParams.get("where");
      response
        .writeHead(Number(searchParams.get("status")), where === null ? {} : { location: where })
        .end("moved");
    } else {
      response.end("here");
    }
  };
  const server = isSecure
    ? createTlsServer({ key: testKey, cert: testCertificate }, listener)
    : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { address: `${isSecure ? "https" : "http"}://127.0.0.1:${port}`, asked };
}

const to = (where: string, status = 302) => `/to?status=${status}&where=${encodeURIComponent(where)}`;

test("a redirect from https to http is refused before anything is asked there", async (t) => {
  trustTestCertificate(t);
  const [secure, plain] = [await startServer(t, true), await startServer(t)];
  await assert.rejects(fetchFollowing("model", secure.address + to(`${plain.address}/file?key=secret`)), {
    name: "EnvironmentError",
    message:
      /^model: the server redirects from https:\/\/ to http:\/\/127\.0\.0\.1:\d+, where what comes could be changed/,
  });
  assert.equal(plain.asked.length, 0);
  const elsewhere = await startServer(t, true);
  const there = await fetchFollowing("model", secure.address + to(elsewhere.address));
  assert.equal(await there.text(), "here");
  const up = await fetchFollowing("model", plain.address + to(secure.address));
  assert.equal(up.url, `${secure.address}/`);
});

test("a redirect keeps the token to the server that it is for", async (t) => {
  const [first, second] = [await startServer(t), await startServer(t)];
  const headers = { authorization: "Bearer secret", cookie: "secret", range: "bytes=0-1" };
  await fetchFollowing("model", first.address + to("/file"), { headers });
  assert.equal(first.asked.at(-1)?.headers.authorization, "Bearer secret");
  const answer = await fetchFollowing("model", first.address + to(`${second.address}/file`), { headers });
  assert.equal(answer.url, `${second.address}/file`);
  assert.doesNotMatch(JSON.stringify(second.asked), /secret/);
  assert.equal(second.asked[0]?.headers.range, "bytes=0-1");
});

test("what is sent is sent again where the status says so", async (t) => {
  const { address, asked } = await startServer(t);
  const init = { method: "POST", body: "text" };
  for (const [status, method, body] of [
    [307, "POST", "text"],
    [308, "POST", "text"],
    [302, "GET", ""],
    [303, "GET", ""],
  ] as const) {
    await fetchFollowing("model", address + to("/file", status), init);
    assert.deepEqual([asked.at(-1)?.method, asked.at(-1)?.body], [method, body], String(status));
  }
});

test("redirects without end, without address, or to what is not fetched are errors", async (t) => {
  const { address } = await startServer(t);
  for (const [path, message] of [
    ["/to?status=302", /^model: the server redirects without saying where to/],
    [to("http://["), /^model: the server redirects without saying where to/],
    [to("file:///etc/passwd"), /^model: the server redirects from http:\/\/ to file:/],
    [to("data:text/plain,x"), /^model: the server redirects from http:\/\/ to data:/],
    [
      to("http://name:secret@127.0.0.1/"),
      /^model: the server redirects to an address with a password; download/,
    ],
  ] as const) {
    await assert.rejects(
      fetchFollowing("model", address + path),
      { name: "EnvironmentError", message },
      path,
    );
  }
  await assert.rejects(fetchFollowing("model", await startEndless(t)), {
    name: "EnvironmentError",
    message: /^model: the server redirects more than 20 times/,
  });
});

async function startEndless(t: TestContext): Promise<string> {
  const server = createServer((_, response) => response.writeHead(302, { location: "/again" }).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
