import assert from "node:assert/strict";
import { test } from "node:test";
import { checkGbnf } from "./gbnf-check.js";

test("what llama.cpp's notation has is taken", () => {
  checkGbnf('root ::= "a" # a comment\n');
  checkGbnf(
    '# first\n\nroot ::= item+ | (item "\\n" |\n  item)? [^a-z\\]\\x41\\u00e9\\U0001F600-] .\nitem ::= "x"{2} "y"{2,} "z"{0,3}\n',
  );
  checkGbnf('root ::=\n  "a" |\n  ""\n');
});

const faults: Readonly<Record<string, readonly [gbnf: string, message: RegExp]>> = {
  "no root": ['start ::= "a"', /no rule named "root"/],
  "an undefined rule": ['root ::= "a" item', /"item" is used but not defined \(line 1, column 14\)/],
  "a rule defined twice": ['root ::= "a"\nroot ::= "b"', /"root" is defined twice/],
  "a rule without a sign": ["root = a", /expected "::=" \(line 1, column 6\)/],
  "an open string": ['root ::= "a', /expected a character or a valid escape/],
  "an open class": ["root ::= [a", /expected a character or a valid escape/],
  "an empty class": ["root ::= []", /class is empty/],
  "a range that is upside down": ["root ::= [z-a]", /ends before it begins/],
  "an open parenthesis": ['root ::= ("a"', /not closed \(line 1, column 10\)/],
  "a repetition of nothing": ["root ::= *", /expected the end of the line/],
  "a repetition that is upside down": ['root ::= "a"{3,1}', /ends before it begins/],
  "a long repetition": ['root ::= "a"{2001}', /more than 2000 times/],
  "many long repetitions": [`root ::= ${'"a"{2000} '.repeat(51)}`, /more than 100000 elements/],
  "deep nesting": [`root ::= ${"(".repeat(100)}"a"${")".repeat(100)}`, /more than 64 deep/],
  "a chain of rules": [chain(6000), /more than 5000 rules/],
  "an unknown escape": ['root ::= "\\q"', /valid escape/],
  "a zero byte": ['root ::= "\\x00"', /no character/],
  "a character beyond Unicode": ['root ::= "\\U00110000"', /no character/],
  "a reference to a token": ["root ::= <[5]>", /expected the end of the line/],
  "too long a text": [`root ::= "${"a".repeat(1_048_576)}"`, /more than the 1048576/],
};

for (const [what, [gbnf, message]] of Object.entries(faults)) {
  test(`a grammar with ${what} is an error that says so`, () => {
    assert.throws(() => checkGbnf(gbnf), { name: "UsageError", message });
  });
}

function chain(rules: number): string {
  const names = Array.from({ length: rules }, (_, index) => `r${index}`);
  return `root ::= r0\n${names.map((name, index) => `${name} ::= ${names[index + 1] ?? '"a"'}`).join("\n")}`;
}
