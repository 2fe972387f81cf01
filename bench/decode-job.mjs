// A decode loop that does nothing else: what imatrix and perplexity cannot be faster than.
import { defineJob } from "../dist/engine/job.js";
import { joinFiles, noFiles, readsModel } from "../dist/engine/job-files.js";
import { batchesOf, batchTokens, cutIntoChunks } from "../dist/text/chunks.js";
import { readTextFile } from "../dist/text/text.js";

/** Decodes a text's chunks, four sequences of 512 tokens at a time, and returns the seconds that it took. */
export const decodeOnly = defineJob(
  import.meta.url,
  "decodeOnly",
  ({ model, text }) => joinFiles(readsModel(model), { reads: [text] }),
  async (
    { model: options, text: path, chunks, context: contextLength, logitsFrom, parseSpecial, threads },
    host,
  ) => {
    const model = host.model(options);
    const tokens = model.tokenize(await readTextFile(path), { parseSpecial });
    const text = cutIntoChunks(path, tokens, { context: contextLength, chunks });
    const sequences = Math.max(1, Math.floor(batchTokens / contextLength));
    const context = model.createContext({ contextLength, sequences, batchSize: batchTokens, threads });
    const begin = performance.now();
    try {
      for (const batch of batchesOf(text, { sequences, batchSize: context.batchSize, logitsFrom })) {
        if (batch.begins) {
          context.clear();
        }
        context.decode(batch.sequences);
        context.synchronize();
      }
    } finally {
      context.close();
    }
    return { chunks: text.chunks, seconds: (performance.now() - begin) / 1000 };
  },
);

/** Processor time that the engine's process has taken so far, in seconds. */
export const processorSeconds = defineJob(import.meta.url, "processorSeconds", noFiles, () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
});

/**
 * Decodes one token after the other and returns the processor seconds that each takes on average, by the fastest of
 * some rounds of each model, taken in turns.
 */
export const decodeOneByOne = defineJob(
  import.meta.url,
  "decodeOneByOne",
  ({ models }) => joinFiles(...models.map((path) => readsModel({ path }))),
  ({ models, tokens, rounds }, host) => {
    const opened = models.map((path) => {
      const model = host.model({ path });
      return model.createContext({ contextLength: tokens, batchSize: 1, microBatchSize: 1, threads: 1 });
    });
    const fastest = models.map(() => Number.POSITIVE_INFINITY);
    for (let round = -1; round < rounds; round++) {
      for (const [index, context] of opened.entries()) {
        context.clear();
        const before = process.cpuUsage();
        for (let position = 0; position < tokens; position++) {
          context.decode([{ sequence: 0, position, tokens: [3 + ((17 * position) % 1000)] }]);
          context.synchronize();
        }
        const { user, system } = process.cpuUsage(before);
        // The first round warms up.
        if (round >= 0) {
          fastest[index] = Math.min(fastest[index], (user + system) / 1e6 / tokens);
        }
      }
    }
    for (const context of opened) {
      context.close();
    }
    return fastest;
  },
);
