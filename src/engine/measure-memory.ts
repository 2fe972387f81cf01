/** What memory a model takes, asked of llama.cpp without loading it. */

import type { ContextOptions } from "./context.js";
import { defineJob, type JobHost } from "./job.js";
import { readsModel } from "./job-files.js";
import type { MemoryUse } from "./memory-use.js";
import type { ModelOptions } from "./model.js";

export interface PlannedMemory {
  /** Sum of all tensors' bytes. */
  readonly weightsBytes: number;
  /** KV cache and recurrent states; llama.cpp reports it rounded to 0.01 MiB. */
  readonly cacheBytes: number;
  /** Activations, and the logits handed out; likewise. */
  readonly computeBytes: number;
  /** Compute buffers per kind of memory. */
  readonly devices: MemoryUse["devices"];
}

/** What the model's weights and a context would take; nothing is allocated or read but the header. */
export const measureMemory = defineJob(
  import.meta.url,
  "measureMemory",
  ({ model }) => readsModel(model),
  (params: { model: ModelOptions; context: ContextOptions }, host: JobHost): PlannedMemory => {
    const model = host.model({ ...params.model, measureOnly: true });
    const context = model.createContext(params.context);
    try {
      const { cacheBytes, computeBytes, devices } = context.memoryUse;
      return { weightsBytes: model.facts.weightsBytes, cacheBytes, computeBytes, devices };
    } finally {
      context.close();
    }
  },
);
