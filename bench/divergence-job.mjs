// Beside the models: several models on the same text, each compared with one reference whose logits are kept.
import { defineJob } from "../dist/engine/job.js";
import { joinFiles, readsModel } from "../dist/engine/job-files.js";
import { firstScored } from "../dist/evaluate/perplexity.js";
import { decodeChunks } from "../dist/evaluate/scorers.js";
import { compareRows } from "../dist/evaluate/softmax.js";
import { batchesOf, batchTokens, cutIntoChunks, sequencesTogether } from "../dist/text/chunks.js";
import { readTextFile } from "../dist/text/text.js";

/**
 * Emits `{ path, divergences }` for each model: the KL divergence at every position that llama-perplexity scores.
 * Parameters: reference, models, text, chunks, context, threads.
 */
export const compareModels = defineJob(
  import.meta.url,
  "compareModels",
  comparedFiles,
  async (params, host) => {
    const source = host.model({ path: params.reference });
    const tokens = source.tokenize(await readTextFile(params.text), { parseSpecial: true });
    const text = cutIntoChunks(params.text, tokens, params);
    const kept = [];
    eachRow(source, text, params, (logits) => kept.push(logits.slice()));
    for (const path of params.models) {
      const model = host.model({ path });
      const divergences = [];
      eachRow(model, text, params, (logits) => {
        divergences.push(Math.max(0, compareRows(kept[divergences.length], logits).divergence));
      });
      model.close();
      host.emit({ path, divergences: Float64Array.from(divergences) });
    }
    return { chunks: text.chunks, positions: kept.length };
  },
);

function comparedFiles({ reference, models, text }) {
  return joinFiles(...[reference, ...models].map((path) => readsModel({ path })), { reads: [text] });
}

function eachRow(model, text, { threads }, visit) {
  const { vocabularySize, addsBos, bosToken } = model.facts;
  const logitsFrom = firstScored(text.context);
  const sequences = sequencesTogether(text.context, text.context - logitsFrom, vocabularySize);
  const context = model.createContext({
    contextLength: text.context,
    sequences,
    batchSize: batchTokens,
    threads,
  });
  const batches = batchesOf(text, {
    sequences,
    batchSize: context.batchSize,
    logitsFrom,
    startToken: addsBos ? bosToken : undefined,
  });
  for (const batch of batches) {
    decodeChunks(context, batch);
    const logits = context.logits();
    for (const [row, { position }] of batch.rows.entries()) {
      if (position < text.context - 1) {
        visit(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize));
      }
    }
  }
  context.close();
}
