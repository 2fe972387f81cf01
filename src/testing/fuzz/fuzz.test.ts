import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { InternalError, MalformedInputError } from "../../errors.js";
import { fuzz, fuzzTargets } from "./fuzz.js";
import { mutated } from "./mutate.js";
import type { FuzzTarget } from "./targets.js";

/** Enough to try every kind of damage; `npm run fuzz` is for finding the rare. */
const runs = 300;

describe("a damaged file is read or refused with one of our errors, with few reads", () => {
  for (const [name, target] of fuzzTargets) {
    it(name, async () => {
      const outcome = await fuzz(target, { runs, seed: 1 });
      assert.equal(outcome.runs, runs);
      assert.ok(outcome.refused > 0);
    });
  }
});

describe("the fuzzer itself finds", () => {
  const inputs = [mutated(Buffer.from("sound"))];
  const offences: Record<string, [FuzzTarget["read"], RegExp]> = {
    "an error that is not ours": [
      async (source) => {
        if (source.byteLength > 5) {
          throw new TypeError("x is undefined");
        }
      },
      /x is undefined/,
    ],
    "a broken invariant": [async () => Promise.reject(new InternalError("folder: no")), /folder: no/],
    "a sentence that does not name the file": [
      async () => Promise.reject(new MalformedInputError("damaged.")),
      /does not begin with the file's name/,
    ],
    "a reader that asks for too much": [
      async (source) => {
        for (let i = 0; i < 1000; i++) {
          await source.read(0, source.byteLength);
        }
      },
      /bytes were asked for in 1000 reads/,
    ],
  };
  for (const [title, [read, message]] of Object.entries(offences)) {
    it(title, async () => {
      const thrown = await fuzz({ inputs, read }, { runs: 200, seed: 1 }).then(
        () => undefined,
        (error) => inspect(error),
      );
      assert.match(thrown ?? "nothing was found", message);
    });
  }
});
