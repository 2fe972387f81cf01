import assert from "node:assert/strict";
import { test } from "node:test";
import { CancelledError } from "../errors.js";
import { FairQueue } from "./fair-queue.js";

const never = new AbortController().signal;

/** Enters clients in this order, and tells in which order they were let through. */
async function orderOf(clients: readonly string[], capacity: number): Promise<string[]> {
  const queue = new FairQueue(capacity);
  const order: string[] = [];
  const entered = clients.map(async (client) => {
    await queue.enter(client, never);
    order.push(client);
    queue.leave(client);
  });
  await Promise.all(entered);
  return order;
}

test("clients take turns, and each one's requests keep their order", async () => {
  assert.deepEqual(await orderOf(["a1", "a1", "a1", "b", "c", "b"], 1), ["a1", "a1", "b", "c", "a1", "b"]);
});

test("no more than the capacity is let through at once", async () => {
  const queue = new FairQueue(2);
  let isThird = false;
  await queue.enter("a", never);
  await queue.enter("b", never);
  const third = queue.enter("c", never).then(() => {
    isThird = true;
  });
  await Promise.resolve();
  assert.equal(isThird, false);
  assert.deepEqual([queue.running, queue.waiting], [2, 1]);
  queue.leave("a");
  await third;
  assert.deepEqual([queue.running, queue.waiting], [2, 0]);
});

test("a request that is given up makes room and is not let through", async () => {
  const queue = new FairQueue(1);
  const stop = new AbortController();
  await queue.enter("a", never);
  const givenUp = queue.enter("b", stop.signal);
  stop.abort();
  await assert.rejects(givenUp, CancelledError);
  assert.equal(queue.waiting, 0);
  queue.leave("a");
  assert.equal(queue.running, 0);
  await assert.rejects(queue.enter("b", stop.signal), CancelledError);
});

test("a client who comes to a full queue is let through until it has its share", async () => {
  const queue = new FairQueue(4);
  const through: string[] = [];
  const enter = (client: string) => queue.enter(client, never).then(() => through.push(client));
  const enterAll = async (clients: readonly string[]) => {
    clients.map(enter);
    await new Promise(setImmediate);
    return through.splice(0).join("");
  };
  assert.equal(await enterAll(["a", "a", "a", "a", "a", "a"]), "aaaa");
  assert.equal(await enterAll(["b", "b", "b"]), "bb");
  assert.equal(await enterAll(["c", "c"]), "c");
  for (const client of ["a", "a", "a"]) {
    queue.leave(client);
  }
  assert.equal(await enterAll([]), "", "a, b, b and c fill it");
  queue.leave("b");
  assert.equal(await enterAll([]), "a", "each has one, and a has waited longest");
});
