/**
 * Kept activations on disk: GGUF with `general.type` = "activations". For every layer, named by its input
 * ("blk.3.ffn_exps.in"), tensors with these endings; what the numbers mean is said in `quants/output-aware/kept-rows.ts`:
 *
 *     .rows      I8  [columns bits / 8, tokens]   codes
 *     .scales    F32 [tokens]                     of the rows
 *     .channels  F32 [columns]                    of the columns
 *     .experts   I16 [slots, tokens]              experts of each token
 *     .weights   F32 [slots, tokens]              what their outputs are multiplied by
 *     .hidden    F32 [experts]                    sums of the squares of what entered each down matrix
 *     .function  I8  [32]                         what the experts compute, a name in ASCII, zeros behind it
 *
 * Metadata: `activations.bits`, `.datasets`, `.chunk_count`, `.chunk_size`, and `.run`: which run an unfinished file
 * belongs to, 64 hexadecimal digits; all zero in a whole one. Every place is known before the first token, so that a
 * row is put where it belongs, however often its run was interrupted.
 */
import { type GgufLayout, planGguf } from "../gguf/layout.js";
import type { Metadata, MetadataValue } from "../gguf/metadata.js";
import { type KeptBits, keptRowBytes } from "../quants/output-aware/kept-rows.js";
import type { TypeName } from "../quants/types.js";
import type { KeptInput } from "./layers.js";

export const fileType = "activations";
export const runKey = "activations.run";

/** The run of a file that is whole. */
export const noRun = "0".repeat(64);

export const functionBytes = 32;

/** What a file is of. */
export interface KeptFacts {
  readonly bits: KeptBits;
  readonly datasets: readonly string[];
  readonly chunkCount: number;
  /** Tokens in a chunk. */
  readonly chunkSize: number;
}

/** Endings of a layer's tensors, in the file's order. */
export const endings = ["rows", "scales", "channels", "experts", "weights", "hidden", "function"] as const;

export type Ending = (typeof endings)[number];

/** The layout of an unfinished file. */
export function layoutOf(inputs: readonly KeptInput[], facts: KeptFacts, run: string): GgufLayout {
  const tokens = facts.chunkCount * facts.chunkSize;
  return planGguf({
    metadata: metadataOf(facts, run),
    tensors: inputs.flatMap(({ name, columns, experts, slots }) => {
      const tensors: Record<Ending, readonly [TypeName, readonly number[]]> = {
        rows: ["I8", [keptRowBytes(columns, facts.bits), tokens]],
        scales: ["F32", [tokens]],
        channels: ["F32", [columns]],
        experts: ["I16", [slots, tokens]],
        weights: ["F32", [slots, tokens]],
        hidden: ["F32", [experts]],
        function: ["I8", [functionBytes]],
      };
      return endings.map((ending) => ({
        name: `${name}.${ending}`,
        type: tensors[ending][0],
        shape: tensors[ending][1],
      }));
    }),
  });
}

function metadataOf({ bits, datasets, chunkCount, chunkSize }: KeptFacts, run: string): Metadata {
  return new Map<string, MetadataValue>([
    ["general.type", { type: "string", value: fileType }],
    ["activations.bits", { type: "uint32", value: bits }],
    ["activations.datasets", { type: "array", itemType: "string", value: datasets }],
    ["activations.chunk_count", { type: "uint32", value: chunkCount }],
    ["activations.chunk_size", { type: "uint32", value: chunkSize }],
    [runKey, { type: "string", value: run }],
  ]);
}
