/** Whether llama.cpp runs a model at all: some tokens are decoded, in one sequence and in two. */
import { CancelledError, LopsidedError } from "../errors.js";
import type { Engine } from "./engine.js";
import { defineJob, type JobHost } from "./job.js";
import { readsModel } from "./job-files.js";
import { findModelFiles, memoryLimitBytes } from "./limits.js";

/** Few, since each token of a mixture of experts brings others into memory. */
const tokensPerSequence = 16;

interface Params {
  readonly path: string;
  readonly name: string;
  readonly sequences: number;
  /** Leave weights where the file has them, because the memory would not hold them rearranged. */
  readonly asStored: boolean;
}

/** Whether all logits are finite. */
export const tryDecode = defineJob(
  import.meta.url,
  "tryDecode",
  readsModel,
  ({ path, name, sequences, asStored }: Params, host: JobHost): boolean => {
    const model = host.model({ path, name, gpuLayers: 0, asStored, ignoreMemoryLimit: true });
    const context = model.createContext({
      contextLength: 64,
      sequences,
      batchSize: 64,
      microBatchSize: 64,
      threads: 1,
    });
    try {
      const { vocabularySize, bosToken } = model.facts;
      const tokens = Int32Array.from({ length: tokensPerSequence }, (_, index) =>
        index === 0 && bosToken >= 0 ? bosToken : Math.floor((index * vocabularySize) / tokensPerSequence),
      );
      context.decode(
        Array.from({ length: sequences }, (_, sequence) => ({
          sequence,
          position: 0,
          tokens,
          logitsFrom: 0,
        })),
      );
      return context.logits().every(Number.isFinite);
    } finally {
      context.close();
      model.close();
    }
  },
);

/**
 * What keeps llama.cpp from running a model, as a sentence; undefined if nothing does.
 * @param path a file, or the first of a set
 * @param name what to call it
 */
export async function decodeProblem(
  path: string,
  name: string,
  { engine, signal }: { readonly engine: Engine; readonly signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const asStored = 2 * findModelFiles(path).byteLength > memoryLimitBytes();
  for (const sequences of [1, 2]) {
    const how = sequences === 1 ? "" : " with several sequences at once";
    try {
      if (!(await engine.run(tryDecode, { path, name, sequences, asStored }, { signal }))) {
        return `${name}: llama.cpp computes logits of it${how} that are not finite; do not publish it.`;
      }
    } catch (error) {
      if (!(error instanceof LopsidedError) || error instanceof CancelledError) {
        throw error;
      }
      const advice = sequences === 1 ? "check its types" : "run it with `--parallel 1`";
      return `${name}: llama.cpp does not run it${how}; ${advice}: ${error.message}`;
    }
  }
  return undefined;
}
