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
  "many parts": [`root ::= ${'"a"? '.repeat(100_001)}`, /more than 100000/],
  "many alternatives": [`root ::= ${'"a" | '.repeat(6000)} "b"`, /more than 5000 ways to go on/],
  "a long string often": [`root ::= "${"a".repeat(300)}"{2000}`, /more than 500000 elements/],
  "a string that doubles": [`root ::= "a"{2000}${"+".repeat(300)}`, /more than 500000 elements/],
  "repetitions of repetitions": [`root ::= "a"${"+".repeat(2000)}`, /more than 500000 elements/],
  "a long name": [`root ::= ${"n".repeat(257)}`, /more than 256 characters/],
  "readings that double with each rule": [doubling(13), /more than 5000 ways to go on \(line 1,/],
  "rules that double without a way out": [doubling(200), /more than 2000000 ways/],
  "many parts that may be empty": [
    'root ::= x{0,1000} "z"\nx ::= "a"?',
    /by two characters \(line 1, column 10\)/,
  ],
  "empty parts of empty parts": ['root ::= x{0,40} "z"\nx ::= ("a"?){0,40}', /ways to go on/],
  "a rule that begins with itself": [
    'root ::= "a" item\nitem ::= "b" | item "c"',
    /left recursion\) \(line 2, column 16\)/,
  ],
  "a rule that begins with itself after what may be empty": [
    'root ::= space root "x" | "y"\nspace ::= blank*\nblank ::= " "',
    /left recursion/,
  ],
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

test("what real grammars have is not too much", () => {
  const words = Array.from({ length: 2000 }, (_, index) => `"word ${index}"`).join(" | ");
  checkGbnf(`root ::= [ \\n]{0,20} (word ", "){0,100} word?\nword ::= ${words}`);
  const properties = Array.from({ length: 400 }, (_, index) => `("," "name ${index}" value)?`).join(" ");
  checkGbnf(`root ::= "{" ${properties} "}"\nvalue ::= "[" (value ("," value)*)? "]" | [0-9]+ | root`);
  checkGbnf('root ::= "\\"" [^"\\n]{0,2000} "\\""\n');
});

/** Each rule has two alternatives that begin with the next. */
function doubling(rules: number): string {
  const names = Array.from({ length: rules }, (_, index) => `r${index}`);
  const lines = names.map((name, index) => {
    const next = names[index + 1] ?? '"x"';
    return `${name} ::= ${next} "a" | ${next} "b"`;
  });
  return `root ::= r0\n${lines.join("\n")}`;
}

function chain(rules: number): string {
  const names = Array.from({ length: rules }, (_, index) => `r${index}`);
  return `root ::= r0\n${names.map((name, index) => `${name} ::= ${names[index + 1] ?? '"a"'}`).join("\n")}`;
}
