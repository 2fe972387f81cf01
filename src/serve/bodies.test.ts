import assert from "node:assert/strict";
import { test } from "node:test";
import { Bodies, mostBodyBytes } from "./bodies.js";
import { ApiError } from "./errors.js";

const post = (body: string | ReadableStream, headers: Record<string, string> = {}) =>
  new Request("http://localhost/", { method: "POST", body, headers, duplex: "half" } as RequestInit);

const isError = (status: number) => (error: unknown) => error instanceof ApiError && error.status === status;

test("a body is read, and counts until it is released", async () => {
  const bodies = new Bodies();
  const text = "é".repeat(100_000);
  const { text: read, release } = await bodies.read(post(text), "a");
  assert.equal(read, text);
  assert.equal(bodies.heldBytes, 200_000 - 2 ** 16);
  release();
  release();
  assert.equal(bodies.heldBytes, 0);
});

test("a body that is too large is refused, by its length before it is read", async () => {
  const bodies = new Bodies();
  let isRead = false;
  const stream = new ReadableStream(
    {
      pull(controller) {
        isRead = true;
        controller.enqueue(new Uint8Array(2 ** 20));
      },
    },
    { highWaterMark: 0 },
  );
  const declared = post(stream, { "content-length": String(mostBodyBytes + 1) });
  await assert.rejects(bodies.read(declared, "a"), isError(413));
  assert.equal(isRead, false);
  const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(2 ** 20)) });
  await assert.rejects(bodies.read(post(endless), "a"), isError(413));
  assert.equal(bodies.heldBytes, 0);
});

test("one client cannot have all the room, and short bodies are always read", async () => {
  const bodies = new Bodies();
  const large = "x".repeat(mostBodyBytes);
  const held = [await bodies.read(post(large), "a"), await bodies.read(post(large), "a")];
  await assert.rejects(bodies.read(post(large), "a"), isError(503));
  held.push(await bodies.read(post(large), "b"), await bodies.read(post(large), "b"));
  await assert.rejects(bodies.read(post(large), "c"), isError(503));
  assert.equal((await bodies.read(post("short"), "a")).text, "short");
  for (const { release } of held) {
    release();
  }
  assert.equal((await bodies.read(post(large), "a")).text, large);
});
