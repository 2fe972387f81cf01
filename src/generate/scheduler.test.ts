import assert from "node:assert/strict";
import { test } from "node:test";
import type { SequenceTokens } from "../engine/batch.js";
import { Answer } from "./answer.js";
import type { AnswerPiece, GenerateRequest } from "./request.js";
import { Scheduler } from "./scheduler.js";

const vocabularySize = 100;
const endToken = 99;

/**
 * A decoder that keeps its sequences in plain lists and checks every position. Its "model" says the sequence's first
 * token plus the number of tokens so far; after token 98 it ends.
 */
class CheckingDecoder {
  readonly sequences: number[][];
  readonly batches: SequenceTokens[][] = [];
  #rows: number[] = [];

  constructor(slots: number) {
    this.sequences = Array.from({ length: slots }, () => []);
  }

  decode(batch: readonly SequenceTokens[]): number {
    this.batches.push([...batch]);
    this.#rows = [];
    for (const { sequence, position, tokens, logitsFrom = tokens.length - 1 } of batch) {
      const held = this.#held(sequence);
      assert.equal(position, held.length);
      held.push(...Array.from(tokens));
      assert.ok(logitsFrom >= tokens.length - 1);
      if (logitsFrom < tokens.length) {
        this.#rows.push(Math.min(endToken, (held[0] ?? 0) + held.length));
      }
    }
    return this.#rows.length;
  }

  logits(): Float32Array {
    const logits = new Float32Array(this.#rows.length * vocabularySize);
    for (const [row, token] of this.#rows.entries()) {
      logits[row * vocabularySize + token] = 1;
    }
    return logits;
  }

  keepFirst(sequence: number, count: number): number {
    const held = this.#held(sequence);
    assert.ok(count <= held.length);
    held.length = count;
    return count;
  }

  shareFirst(source: number, target: number, count: number): number {
    assert.equal(this.#held(target).length, 0);
    this.#held(target).push(...this.#held(source).slice(0, count));
    return count;
  }

  #held(sequence: number): number[] {
    const held = this.sequences[sequence];
    assert.ok(held);
    return held;
  }
}

const vocabulary = {
  tokenBytes: (token: number) => new TextEncoder().encode(`${token} `),
  controlText: () => "",
  endsGeneration: (token: number) => token === endToken,
};

function setUp(
  slots: number,
  options: { contextLength?: number; batchSize?: number; canShare?: boolean } = {},
) {
  const decoder = new CheckingDecoder(slots);
  const pieces = new Map<number, AnswerPiece[]>();
  const cached = new Map<number, number>();
  const scheduler = new Scheduler(
    decoder,
    { slots, contextLength: 200, batchSize: 16, vocabularySize, canShare: true, ...options },
    {
      onStart: ({ id }, tokens) => cached.set(id, tokens),
      onPiece: ({ id }, piece) => pieces.set(id, [...(pieces.get(id) ?? []), piece]),
      onFailure: (_, error) => assert.fail(String(error)),
    },
  );
  const add = (id: number, prompt: number[], request: Partial<GenerateRequest> = {}) =>
    scheduler.add(new Answer(id, { prompt, sampling: { temperature: 0 }, ...request }, prompt, vocabulary));
  const run = () => {
    while (!scheduler.isIdle) {
      scheduler.step();
    }
  };
  const tokensOf = (id: number) => (pieces.get(id) ?? []).flatMap(({ tokens }) => tokens);
  return { decoder, scheduler, pieces, cached, add, run, tokensOf };
}

test("every answer has its own tokens, however many there are", () => {
  const { add, run, tokensOf, pieces } = setUp(3);
  for (let id = 0; id < 10; id++) {
    add(id, [id + 50, 1, 1 + id], { maxTokens: id + 1 });
  }
  run();
  for (let id = 0; id < 10; id++) {
    const expected = Array.from({ length: id + 1 }, (_, index) => id + 53 + index);
    assert.deepEqual(tokensOf(id), expected);
    assert.equal(pieces.get(id)?.at(-1)?.finish?.reason, "length");
  }
});

test("a token that ends the answer is no part of it", () => {
  const { add, run, tokensOf, pieces } = setUp(1);
  add(0, [95, 5]);
  run();
  assert.deepEqual(tokensOf(0), [97, 98]);
  assert.equal(pieces.get(0)?.at(-1)?.finish?.reason, "stop");
  assert.equal(
    pieces
      .get(0)
      ?.map(({ text }) => text)
      .join(""),
    "97 98 ",
  );
});

test("long prompts are cut to the batch and share it, while others write on", () => {
  const { decoder, add, run, scheduler } = setUp(3, { batchSize: 16 });
  add(0, [1, 2], { maxTokens: 30 });
  scheduler.step();
  add(
    1,
    Array.from({ length: 60 }, (_, index) => (index % 7) + 30),
  );
  add(
    2,
    Array.from({ length: 60 }, (_, index) => (index % 5) + 20),
  );
  scheduler.step();
  assert.deepEqual(
    decoder.batches.at(-1)?.map(({ sequence, tokens }) => [sequence, tokens.length]),
    [
      [0, 1],
      [1, 7],
      [2, 8],
    ],
  );
  run();
  assert.ok(
    decoder.batches.every((batch) => batch.reduce((sum, { tokens }) => sum + tokens.length, 0) <= 16),
  );
});

test("a conversation goes on in its slot, without computing its beginning again", () => {
  const { decoder, add, run, cached, tokensOf } = setUp(2);
  add(0, [40, 41, 42], { maxTokens: 3 });
  run();
  add(1, [40, 41, 42, ...tokensOf(0), 7, 8], { maxTokens: 1 });
  run();
  // The last token of an answer is never computed.
  assert.equal(cached.get(1), 5);
  assert.deepEqual(
    decoder.sequences.map(({ length }) => length),
    [8, 0],
  );
});

test("prompts that begin alike share what is computed, also from a slot that is busy", () => {
  const beginning = [40, 41, 42, 43];
  for (const canShare of [true, false]) {
    const { add, run, cached, scheduler, decoder } = setUp(2, { canShare });
    add(0, [...beginning, 1, 2], { maxTokens: 5 });
    scheduler.step();
    add(1, [...beginning, 3], { maxTokens: 5 });
    run();
    assert.equal(cached.get(1), canShare ? 4 : 0);
    assert.deepEqual(decoder.sequences[1]?.slice(0, 5), [...beginning, 3]);
  }
});

test("a prompt that was there before is computed again from its last token on", () => {
  const { add, run, cached, tokensOf } = setUp(1);
  for (const id of [0, 1]) {
    add(id, [30, 31, 32], { maxTokens: 2 });
    run();
  }
  assert.equal(cached.get(1), 2);
  assert.deepEqual(tokensOf(0), tokensOf(1));
});

test("an answer ends when its context is full", () => {
  const { add, run, tokensOf } = setUp(1, { contextLength: 10 });
  add(0, [1, 2, 3]);
  run();
  assert.equal(tokensOf(0).length, 7);
});

test("a stopped answer frees its slot, and a waiting one never begins", () => {
  const { add, run, scheduler, tokensOf, cached } = setUp(1);
  add(0, [1, 2]);
  add(1, [3, 4]);
  add(2, [5, 6], { maxTokens: 2 });
  scheduler.step();
  scheduler.cancel(1);
  scheduler.cancel(0);
  run();
  assert.equal(tokensOf(0).length, 1);
  assert.equal(cached.has(1), false);
  assert.deepEqual(tokensOf(2), [7, 8]);
});

test("a client who waits gets slots until both have as many, and what was set aside goes on", () => {
  const { decoder, add, run, scheduler, tokensOf, cached } = setUp(4);
  const owners = new Map<number, string>();
  const ask = (id: number, client: string, maxTokens: number) => {
    owners.set(id * 10, client);
    add(id, [id * 10, 1], { client, maxTokens });
  };
  const slotsOf = (client: string) =>
    decoder.batches
      .at(-1)
      ?.filter(({ sequence }) => owners.get(decoder.sequences[sequence]?.[0] ?? 0) === client).length;
  for (let id = 0; id < 6; id++) {
    ask(id, "greedy", 9);
  }
  for (let step = 0; step < 4; step++) {
    scheduler.step();
  }
  assert.equal(slotsOf("greedy"), 4);
  for (const id of [6, 7, 8]) {
    ask(id, "late", 2);
  }
  scheduler.step();
  assert.deepEqual([slotsOf("greedy"), slotsOf("late")], [2, 2]);
  scheduler.step();
  assert.equal(tokensOf(7).length, 2);
  run();
  for (let id = 0; id < 9; id++) {
    const length = id < 6 ? 9 : 2;
    assert.deepEqual(
      tokensOf(id),
      Array.from({ length }, (_, index) => id * 10 + 2 + index),
      `answer ${id}`,
    );
  }
  assert.equal(cached.size, 9, "every answer began once");
});

test("clients who each have a slot write to the end, and take turns", () => {
  const { add, run, pieces } = setUp(1);
  for (const [id, client] of ["a", "a", "a", "b", "c"].entries()) {
    add(id, [10 * id, 1], { client, maxTokens: 5 });
  }
  run();
  assert.deepEqual([...pieces.keys()], [0, 3, 4, 1, 2]);
});

test("an answer that was set aside can be stopped", () => {
  const { add, run, scheduler, tokensOf } = setUp(2);
  add(0, [10, 1], { client: "a", maxTokens: 5 });
  add(1, [20, 1], { client: "a", maxTokens: 5 });
  scheduler.step();
  add(2, [30, 1], { client: "b", maxTokens: 9 });
  scheduler.step();
  scheduler.cancel(0);
  run();
  assert.deepEqual(
    [0, 1, 2].map((id) => tokensOf(id).length),
    [1, 5, 9],
  );
});

test("a drawn answer that was set aside draws on as if it had not been", () => {
  const drawn = {
    client: "a",
    maxTokens: 40,
    ignoreEnd: true,
    sampling: { seed: 7, topK: 0, topP: 1, minP: 0 },
  };
  const answers = [false, true].map((isDisturbed) => {
    const { add, run, scheduler, tokensOf } = setUp(2);
    add(0, [10, 1], drawn);
    add(1, [20, 1], drawn);
    for (let id = 2; id < 6; id++) {
      scheduler.step();
      scheduler.step();
      if (isDisturbed) {
        add(id, [30, 1], { client: "b", maxTokens: 3 });
      }
    }
    run();
    return [tokensOf(0), tokensOf(1)];
  });
  assert.deepEqual(answers[1], answers[0]);
});
