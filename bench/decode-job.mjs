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
