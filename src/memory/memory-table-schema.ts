/** The table of memory against context, as it is kept in evaluation.json. */
import { z } from "zod";

const count = z.number().int().min(0);

/** What the quantized model takes in memory, and what there is: see `measureMemoryTable`. */
export const memoryTableSchema = z.object({
  rows: z
    .array(
      z.object({
        context: count,
        keyType: z.string(),
        valueType: z.string(),
        weightsBytes: count,
        kvBytes: count,
        computeBytes: count,
        totalBytes: count,
        /** Names of the machines that have it. */
        fits: z.array(z.string()).readonly(),
      }),
    )
    .readonly(),
  machines: z
    .array(
      z.object({
        name: z.string(),
        /** Bytes that a model can have there, the margin taken off. */
        availableBytes: count,
        basis: z.string(),
      }),
    )
    .readonly(),
  /** Who gave the sizes of cache and compute buffers. */
  source: z.enum(["llama.cpp", "formula"]),
});

export type MemoryTable = z.infer<typeof memoryTableSchema>;
