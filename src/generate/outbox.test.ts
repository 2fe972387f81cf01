import assert from "node:assert/strict";
import { test } from "node:test";
import { Outbox } from "./outbox.js";
import { type NumberedPiece, unpackPieces } from "./packed-pieces.js";

const plain = (text: string, token: number) => ({ text, tokens: [token], logprobs: [] });
const finish = { reason: "stop", completionTokens: 2, generationMs: 1 } as const;

test("pieces are gathered for some milliseconds, unless an answer ends", () => {
  const sent: NumberedPiece[][] = [];
  const outbox = new Outbox((pieces) => sent.push(unpackPieces(pieces)));
  outbox.add(1, plain("a", 1));
  outbox.flush(1000);
  outbox.add(1, plain("b", 2));
  outbox.add(2, plain("c", 3));
  outbox.flush(1001);
  assert.equal(sent.length, 1);
  outbox.flush(1040);
  outbox.flush(1080);
  assert.equal(sent.length, 2);
  outbox.add(2, { text: "", tokens: [], logprobs: [], finish });
  outbox.flush(1081);
  assert.deepEqual(sent, [
    [{ id: 1, piece: plain("a", 1) }],
    [
      { id: 1, piece: plain("b", 2) },
      { id: 2, piece: plain("c", 3) },
    ],
    [{ id: 2, piece: { text: "", tokens: [], logprobs: [], finish } }],
  ]);
});

test("log-probabilities arrive with their piece", () => {
  const bytes = new Uint8Array([65]);
  const logprobs = [{ token: 4, bytes, logprob: -1, top: [{ token: 5, bytes, logprob: -0.5 }] }];
  let received: NumberedPiece[] = [];
  const outbox = new Outbox((pieces) => {
    received = unpackPieces(structuredClone(pieces));
  });
  outbox.add(3, plain("x", 1));
  outbox.add(4, { text: "A", tokens: [4], logprobs });
  outbox.flush();
  assert.deepEqual(received, [
    { id: 3, piece: plain("x", 1) },
    { id: 4, piece: { text: "A", tokens: [4], logprobs } },
  ]);
});
