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
    queue.leave();
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
  queue.leave();
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
  queue.leave();
  assert.equal(queue.running, 0);
  await assert.rejects(queue.enter("b", stop.signal), CancelledError);
});
