import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { UsageError } from "../errors.js";
import { defineCommand, type OptionsOf } from "./command.js";
import { flagOf, inFlags, sentenceOf, typedValue } from "./flags.js";
import { choice, list, number, size, text, wholeNumber, yesNo } from "./values.js";

const command = defineCommand({
  name: "paint",
  summary: "Paints.",
  options: {
    model: { isArgument: true, required: true, schema: text, about: "what to paint" },
    cacheTypeK: { value: "<type>", schema: text, about: "a type", default: "f16" },
    maxMemory: { value: "<size>", schema: size, about: "memory", unset: "all" },
    ctx: { short: "-c", value: "<n>", schema: wholeNumber(16), about: "tokens", default: 512 },
    weights: { value: "<n...>", schema: list(number(0, 1)), about: "weights" },
    colour: { schema: choice(["red", "green"]), about: "colour" },
    check: { schema: yesNo, about: "look at nothing", default: true },
    onStroke: { schema: text, about: "for programs", only: "library" },
    json: { schema: yesNo, about: "print JSON", only: "terminal" },
  },
});

/** As a caller without types. */
const read = (given: Record<string, unknown>) => command.read(given as OptionsOf<typeof command>);

describe("what a caller gives", () => {
  it("is completed by defaults and made what the command works with", () => {
    assert.deepEqual(read({ model: "a", maxMemory: "4G", weights: [0.5], colour: undefined }), {
      model: "a",
      cacheTypeK: "f16",
      maxMemory: 4e9,
      ctx: 512,
      weights: [0.5],
      check: true,
    });
  });

  it("is refused with the nearest name if there is no such option", () => {
    assert.throws(
      () => read({ model: "a", cacheTypK: "f16" }),
      new UsageError("paint has no option `cacheTypK`; did you mean `cacheTypeK`?", { option: "cacheTypK" }),
    );
    assert.throws(() => read({ model: "a", json: true }), /has no option `json`/);
    assert.throws(() => read({ model: "a", toString: "x" }), /has no option `toString`/);
  });

  for (const [given, message] of [
    [{}, "paint needs `model`: what to paint."],
    [{ model: "" }, '`model` is ""; it must not be empty.'],
    [{ model: 7 }, "`model` is 7; it must be a text."],
    [{ model: "a", ctx: 8 }, "`ctx` is 8; it must be a whole number of at least 16."],
    [{ model: "a", ctx: 2 ** 31 }, "`ctx` is 2147483648; it must be at most 2147483647."],
    [{ model: "a", ctx: 16.5 }, "`ctx` is 16.5; it must be a whole number of at least 16."],
    [{ model: "a", ctx: "many" }, '`ctx` is "many"; it must be a whole number of at least 16.'],
    [{ model: "a", weights: [2] }, "`weights` is 2; it must be a number from 0 to 1."],
    [{ model: "a", colour: "blue" }, '`colour` is "blue"; it must be one of red, green.'],
    [{ model: "a", check: "no" }, '`check` is "no"; it must be true or false.'],
    [
      { model: "a", maxMemory: "4X" },
      '`maxMemory`: "4X" is not a size; write it like 11.4GB (10^9 bytes) or 10.6GiB (2^30 bytes).',
    ],
  ] as const) {
    it(`is refused: ${JSON.stringify(given)}`, () => {
      assert.throws(
        () => read(given),
        (error: Error) => {
          assert.ok(error instanceof UsageError);
          assert.equal(error.message, message);
          return true;
        },
      );
    });
  }

  it("takes sizes in one grammar", () => {
    const sizes = ["4000000000", "4G", "4GB", "4 gb", 4e9].map((given) =>
      read({ model: "a", maxMemory: given }),
    );
    assert.deepEqual(new Set(sizes.map(({ maxMemory }) => maxMemory)), new Set([4e9]));
    assert.equal(read({ model: "a", maxMemory: "4GiB" }).maxMemory, 2 ** 32);
  });
});

describe("the command line", () => {
  const { options } = command;

  it("has flags made of the names", () => {
    assert.equal(flagOf("cacheTypeK", options.cacheTypeK), "--cache-type-k");
    assert.equal(flagOf("check", options.check), "--no-check");
  });

  it("says what holds without an option", () => {
    assert.equal(sentenceOf(options.ctx), "tokens (default: 512)");
    assert.equal(sentenceOf(options.maxMemory), "memory (default: all)");
    assert.equal(sentenceOf(options.check), "look at nothing");
    assert.equal(sentenceOf(options.model), "what to paint (required)");
  });

  it("reads numbers where numbers are taken, and leaves the rest to the schema", () => {
    assert.equal(typedValue(options.ctx, "512"), 512);
    assert.equal(typedValue(options.weights, "0.5"), 0.5);
    for (const typed of ["", " ", "many", "Infinity"]) {
      assert.equal(typedValue(options.ctx, typed), typed);
    }
    assert.equal(typedValue(options.model, "512"), "512");
  });

  it("names options as they are typed", () => {
    const sentence = "`cacheTypeK`, `check`, `model`, `onStroke`, `other` and `make it`";
    assert.equal(
      inFlags(sentence, options, { other: options.ctx }),
      "--cache-type-k, --check, <model>, `onStroke`, --other and `make it`",
    );
  });
});
