import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../../errors.js";
import { GrammarTime } from "./grammar-time.js";

/** Does work of so many milliseconds for each token, and tells after how many tokens there is an error. */
function tokensUntilError(perToken: readonly number[], most: number): number {
  let now = 0;
  const time = new GrammarTime(() => now);
  for (let token = 0; token < most; token++) {
    try {
      for (const ms of perToken) {
        time.measure(() => {
          now += ms;
        });
      }
    } catch (error) {
      assert.ok(error instanceof UsageError);
      assert.equal(error.details.reason, "grammar-too-slow");
      return token;
    }
    time.nextToken();
    now += 10_000; // the model's time is not the grammar's
  }
  return most;
}

test("the parts of one token's work count together", () => {
  assert.equal(tokensUntilError([1500], 1), 1);
  assert.equal(tokensUntilError([1500, 600], 1), 0);
});

test("an answer whose every token is slow comes to an end, a long one that is not goes on", () => {
  assert.equal(tokensUntilError([500], 1000), 12);
  assert.equal(tokensUntilError([90], 10_000), 10_000);
});

test("the result and the time of a part are told", () => {
  let now = 0;
  const time = new GrammarTime(() => now);
  const measured = time.measure(() => {
    now += 7;
    return "done";
  });
  assert.deepEqual(measured, { result: "done", took: 7 });
});
