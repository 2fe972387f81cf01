import assert from "node:assert/strict";
import { test } from "node:test";
import { EnvironmentError } from "../errors.js";
import type { DataAccess } from "./data-access.js";
import { groupPerformer, type TokenGroup } from "./group-performer.js";
import type { JobWork, QueueJob } from "./jobs.js";

const reference = (letter: string) => ({ sha256: letter.repeat(64), bytes: 8 });
const access: DataAccess = {
  fetch: async (_, { bytes }) => Buffer.from(new Int32Array([7, -1]).buffer, 0, bytes),
  deliver: async () => {},
};
const jobOf = (work: JobWork): QueueJob => ({ id: "x", coordinator: "http://here", work });
const work = {
  ...{ kind: "chunks" as const, task: "a".repeat(64), first: 3, chunks: 1 },
  tokens: reference("b"),
};

test("a group comes with its tokens; jobs of another task are refused", async () => {
  const seen: TokenGroup[] = [];
  const perform = groupPerformer(
    work.task,
    access,
    async (group) => {
      seen.push(group);
      return new Uint8Array(1);
    },
    () => assert.fail("broken"),
  );
  await perform(jobOf(work));
  assert.deepEqual(seen, [{ first: 3, chunks: 1, tokens: Int32Array.of(7, -1) }]);
  await assert.rejects(perform(jobOf({ ...work, task: "c".repeat(64) })), /of other work/);
});

test("a machine on which three groups in a row fail is told to leave them to others", async () => {
  let broken = 0;
  let works = false;
  const perform = groupPerformer(
    work.task,
    access,
    async () => {
      if (!works) {
        throw new EnvironmentError("no memory");
      }
      return new Uint8Array(1);
    },
    () => broken++,
  );
  const fail = async (times: number) => {
    for (let i = 0; i < times; i++) {
      await assert.rejects(perform(jobOf(work)), /no memory/);
    }
  };
  await fail(2);
  works = true;
  await perform(jobOf(work));
  works = false;
  await fail(2);
  assert.equal(broken, 0);
  await fail(1);
  assert.equal(broken, 1);
});
