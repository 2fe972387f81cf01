// Answers of the tiny model under the grammars of random JSON Schemas: every one that comes to its end must validate.
// node scripts/constrained.mjs [COUNT] [FIRST_SEED]
import { fileURLToPath } from "node:url";
import { Generator } from "../dist/generate/generator.js";
import { constrainedAnswer } from "../dist/testing/constrained-answers.js";

const [count = 2000, first = 1] = process.argv.slice(2).map(Number);
const path = fileURLToPath(new URL("../fixtures/tiny-moe-q8_0.gguf", import.meta.url));
const slots = 8;
const generator = new Generator({ model: { path }, slots, threads: 1, contextLength: 1024 });
const outcome = { whole: 0, cut: 0, wrong: 0 };
const begin = performance.now();
let next = first;

async function work() {
  // Answers that were cut say nothing, so others take their place.
  for (let seed = next++; outcome.whole + outcome.wrong < count; seed = next++) {
    try {
      const { schema, text, isWhole, fault } = await constrainedAnswer(generator, seed);
      outcome[fault ? "wrong" : isWhole ? "whole" : "cut"]++;
      if (fault) {
        console.error(`seed ${seed}: ${fault}\n  ${JSON.stringify(schema)}\n  ${JSON.stringify(text)}`);
      }
    } catch (error) {
      outcome.wrong++;
      console.error(`seed ${seed}: ${error}`);
    }
  }
}

await Promise.all(Array.from({ length: slots }, work));
await generator.close();
const seconds = ((performance.now() - begin) / 1000).toFixed(0);
console.log(
  `${outcome.whole} answers validate, ${outcome.wrong} do not, ${outcome.cut} were cut at their length; ${seconds} s`,
);
process.exitCode = outcome.wrong > 0 ? 1 : 0;
