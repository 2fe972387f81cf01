import assert from "node:assert/strict";
import { test } from "node:test";
import { RandomNumbers } from "../random.js";
import { integersBetween, type NumberBounds, numbersBetween } from "./numbers.js";

/** The same language as a regular expression: our number grammars have no names and need no escapes. */
function matcher(gbnf: string | undefined): (text: string) => boolean {
  if (gbnf === undefined) {
    return () => false;
  }
  const parts = gbnf.match(/"[^"]*"|\[[^\]]*\]|\{[^}]*\}|[()|?*+]/g) ?? [];
  const source = parts
    .map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll(".", "\\.") : part))
    .join("");
  const expression = new RegExp(`^(?:${source})$`);
  return (text) => expression.test(text);
}

function holds(
  value: number,
  { minimum, maximum, exclusiveMinimum, exclusiveMaximum }: NumberBounds,
): boolean {
  return (
    !(value < (minimum ?? -Infinity)) &&
    !(value > (maximum ?? Infinity)) &&
    !(value <= (exclusiveMinimum ?? -Infinity)) &&
    !(value >= (exclusiveMaximum ?? Infinity))
  );
}

test("the integers of a grammar are exactly those within the bounds", () => {
  const random = new RandomNumbers(1);
  for (let round = 0; round < 200; round++) {
    const low = Math.round((random.next() - 0.5) * 400) / 2;
    const high = low + Math.round(random.next() * 300) / 2;
    for (const bounds of [
      { minimum: low, maximum: high },
      { exclusiveMinimum: low, exclusiveMaximum: high },
      { minimum: low },
      { exclusiveMaximum: high },
    ]) {
      const matches = matcher(integersBetween(bounds));
      for (let value = -420; value <= 420; value++) {
        assert.equal(matches(`${value}`), holds(value, bounds), `${value} in ${JSON.stringify(bounds)}`);
      }
      assert.ok(!matches("-0") && !matches("007") && !matches("1.0"));
    }
  }
});

test("the decimals of a grammar are those within the bounds", () => {
  const random = new RandomNumbers(2);
  for (let round = 0; round < 300; round++) {
    const decimals = Math.floor(random.next() * 4);
    const low = Number(((random.next() - 0.5) * 30).toFixed(decimals));
    const high = Number((low + random.next() * 10 ** (1 - Math.floor(random.next() * 4))).toFixed(decimals));
    for (const bounds of [
      { minimum: low, maximum: high },
      { exclusiveMinimum: low, exclusiveMaximum: high },
      { minimum: low },
      { exclusiveMaximum: high },
    ]) {
      const matches = matcher(numbersBetween(bounds));
      for (let probe = 0; probe < 100; probe++) {
        const text = ((random.next() - 0.5) * 40).toFixed(Math.floor(random.next() * 5));
        // "-0" is zero, and written only where zero may be below or above.
        const isExpected = holds(Number(text), bounds);
        assert.ok(
          matches(text) === isExpected || (Number(text) === 0 && isExpected),
          `${text} in ${JSON.stringify(bounds)}`,
        );
      }
      for (const bound of [low, high]) {
        const isExpected = holds(bound, bounds);
        assert.ok(matches(`${bound}`) === isExpected, `${bound} in ${JSON.stringify(bounds)}`);
      }
    }
  }
});

test("extreme bounds do not fool the grammar", () => {
  const tiny = matcher(numbersBetween({ exclusiveMinimum: 0, maximum: 5e-324 }));
  assert.ok(!tiny("0") && !tiny("0.0") && !tiny("0.00001"));
  const huge = matcher(numbersBetween({ minimum: -1.7976931348623157e308, maximum: 1.7976931348623157e308 }));
  assert.ok(huge("-12.5") && huge("0"));
  assert.ok(!matcher(numbersBetween({ minimum: 0, exclusiveMaximum: 1 }))("0.99999999999999999999"));
  assert.equal(integersBetween({ minimum: 0.1, maximum: 0.9 }), undefined);
});
