// One run in a process of its own, for bench/windows.mjs: node bench/windows-once.mjs '{ "subject": ..., ... }'
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Engine } from "../dist/engine/engine.js";
import { perplexity } from "../dist/evaluate/measure.js";
import { imatrix } from "../dist/imatrix/compute.js";
import { decodeOnly } from "./decode-job.mjs";

const context = 512;
const texts = Object.fromEntries(
  ["calibration", "eval"].map((name) => [
    name,
    fileURLToPath(new URL(`../fixtures/text/${name}.txt`, import.meta.url)),
  ]),
);

const subjects = {
  /** A calibration. */
  async imatrix(options) {
    const { seconds, tokens } = await imatrix({ text: texts.calibration, ...options });
    await rm(options.output);
    return { seconds, tokens };
  },
  /** A comparison with a reference: tokens of the text, which both models read. */
  async perplexity({ output: _, ...options }) {
    const { seconds, tokens } = await perplexity({ text: texts.eval, ...options });
    return { seconds, tokens };
  },
  /**
   * What nothing can be faster than: decodes of layers that are in memory, without observers and predictions. What
   * the layers cost that one model has more than the other, times all layers of the large one.
   */
  async resident({ few, many, layers, chunks, threads }) {
    const engine = new Engine();
    const common = {
      text: texts.calibration,
      chunks,
      context,
      logitsFrom: context,
      parseSpecial: true,
      threads,
    };
    const [least, most] = [few, many].map(({ path }) => async () => {
      // Once for what is read from the disk, once to be measured.
      await engine.run(decodeOnly, { ...common, chunks: 1, model: { path } });
      return await engine.run(decodeOnly, { ...common, model: { path } });
    });
    const [small, large] = [await least(), await most()];
    await engine.close();
    const perLayer = (large.seconds - small.seconds) / (many.layers - few.layers);
    return { seconds: perLayer * layers, tokens: large.chunks * context };
  },
};

const { subject, ...options } = JSON.parse(process.argv[2]);
const started = performance.now();
const { seconds, tokens } = await subjects[subject](options);
const total = (performance.now() - started) / 1000;
console.log(
  JSON.stringify({ seconds, tokensPerSecond: tokens / seconds, total, tokensPerSecondInAll: tokens / total }),
);
