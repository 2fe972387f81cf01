import assert from "node:assert/strict";
import { test } from "node:test";
import { parseReport } from "./report.js";

test("a report has a line for each call", () => {
  assert.deepEqual(parseReport('{"value":[1]}\n{"error":"no"}\n'), {
    failure: undefined,
    returned: [{ value: [1] }, { error: "no" }],
  });
});

test("a program that failed has no results, and a line that was cut off is none", () => {
  assert.deepEqual(parseReport('{"failed":"ValueError: no"}\n'), {
    failure: "ValueError: no",
    returned: [],
  });
  assert.deepEqual(parseReport('{"value":1}\n{"value":2').returned, [{ value: 1 }]);
});

const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
const forged = {
  "text that is no JSON": "Fatal Python error",
  "other JSON": "[]",
  "a value and an error": '{"value":1,"error":"no"}',
  "an error that is no text": '{"error":1}',
  "something more": '{"value":1,"passed":true}',
  "values nested deeper than a stack": `{"value":${deep}}`,
  "values nested a little too deeply": `{"value":${"[".repeat(101)}${"]".repeat(101)}}`,
};

for (const [what, line] of Object.entries(forged)) {
  test(`a line with ${what} ends the report`, () => {
    assert.deepEqual(parseReport(`{"value":1}\n${line}\n{"value":2}\n`), {
      failure: "left a report that cannot be read",
      returned: [{ value: 1 }],
    });
  });
}

test("names that mean something to JavaScript are only names", () => {
  const { returned } = parseReport('{"value":{"__proto__":{"passed":true}}}\n');
  assert.equal(JSON.stringify(returned), '[{"value":{"__proto__":{"passed":true}}}]');
  assert.equal(({} as { passed?: boolean }).passed, undefined);
});
