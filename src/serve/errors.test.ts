import assert from "node:assert/strict";
import { test } from "node:test";
import { EnvironmentError, InternalError, MalformedInputError, UsageError } from "../errors.js";
import { toApiError, withoutFolders } from "./errors.js";

test("a grammar that takes too long is the request's fault, with a code", () => {
  const { status, code } = toApiError(new UsageError("slow", { reason: "grammar-too-slow" }));
  assert.deepEqual([status, code], [400, "grammar_too_slow"]);
});

test("paths of the server's disk do not reach clients", () => {
  const cases: [string, string][] = [
    ["decoding with /home/ann/models/m.gguf: killed", "decoding with m.gguf: killed"],
    ["C:\\Users\\ann\\m.gguf is damaged", "m.gguf is damaged"],
    ['file "/srv/m-00001-of-00002.gguf"', 'file "m-00001-of-00002.gguf"'],
    ["at file:///opt/app/dist/x.js:3", "at x.js:3"],
    ["ask for 1/2 or see https://example.com/a/b", "ask for 1/2 or see https://example.com/a/b"],
  ];
  for (const [message, expected] of cases) {
    assert.equal(withoutFolders(message), expected);
  }
  for (const Kind of [UsageError, EnvironmentError, MalformedInputError, InternalError, Error]) {
    assert.doesNotMatch(JSON.stringify(toApiError(new Kind("/home/ann/m.gguf: is wrong"))), /home|ann/);
  }
});
