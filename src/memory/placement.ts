/** What of a model lies in which memory, and how long a context fits beside it. */

import { isTied } from "../model/roles.js";
import { contextStep } from "./kv-cache.js";
import type { Machine } from "./machines.js";

/**
 * Where the weights lie, of tensors that are loaded: llama.cpp keeps the token embedding in the computer's memory when the rest is on a card; a
 * table that also is the output is there twice.
 */
export function weightsOn(
  { isCard }: Machine,
  tensors: readonly { readonly name: string; readonly bytes: number }[],
): { bytes: number; hostBytes: number; neededBytes: number } {
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const table = tensors.find(({ name }) => name === "token_embd.weight")?.bytes ?? 0;
  const hostBytes = isCard ? table : 0;
  const isTwice = isCard && isTied(tensors.map(({ name }) => name));
  return { bytes, hostBytes, neededBytes: isTwice ? bytes : bytes - hostBytes };
}

/** What a context takes besides the weights. */
export interface ContextNeed {
  readonly kvBytes: number;
  readonly computeBytes: number;
}

/** The longest context, in steps of 256, whose cache and compute buffers fit in `room`; 0 if none does. */
export async function longestContext(
  room: number,
  longest: number,
  needOf: (context: number) => ContextNeed | Promise<ContextNeed>,
): Promise<number> {
  let [fitting, tooLong] = [0, Math.floor(longest / contextStep) + 1];
  while (tooLong - fitting > 1) {
    const middle = Math.floor((fitting + tooLong) / 2);
    const { kvBytes, computeBytes } = await needOf(middle * contextStep);
    if (kvBytes + computeBytes <= room) {
      fitting = middle;
    } else {
      tooLong = middle;
    }
  }
  return fitting * contextStep;
}
