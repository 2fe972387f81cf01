import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";
import { limitConnections } from "./connections.js";

test("an address has no more than its share of connections, and gets another when one is closed", async () => {
  const server = createServer((socket) => socket.on("error", () => {}));
  limitConnections(server, 3, 2);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const open = (localAddress: string) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    socket.on("error", () => {});
    return socket;
  };
  const first = open("127.0.0.1");
  const second = open("127.0.0.1");
  await Promise.all([once(first, "connect"), once(second, "connect")]);
  await once(open("127.0.0.1"), "close");
  first.destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const again = open("127.0.0.1");
  await once(again, "connect");
  const closed = await Promise.race([
    once(again, "close").then(() => true),
    new Promise((resolve) => setTimeout(() => resolve(false), 200)),
  ]);
  assert.equal(closed, false);
  for (const socket of [second, again]) {
    socket.destroy();
  }
  server.close();
});
