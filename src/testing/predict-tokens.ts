/** What the layers that predict further tokens of a file say, by llama.cpp. */
import { defineJob, type JobHost } from "../engine/job.js";
import { readsModel } from "../engine/job-files.js";

/** Logits after each of some tokens, given the vectors that left the model before each of them. */
export const predictTokens = defineJob(
  import.meta.url,
  "predictTokens",
  ({ path }) => readsModel({ path }),
  (
    { path, tokens, vectors }: { path: string; tokens: readonly number[]; vectors: Float32Array },
    host: JobHost,
  ): Float32Array => {
    const model = host.model({ path, predictionLayers: true });
    const context = model.createContext({ contextLength: 256, prediction: true, threads: 1 });
    try {
      context.decode([{ sequence: 0, position: 0, tokens, vectors, logitsFrom: 0 }]);
      return context.logits().slice();
    } finally {
      context.close();
    }
  },
);
