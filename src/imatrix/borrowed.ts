/**
 * Importance for layers of multi-token prediction. A model runs without them while its statistics are collected; what
 * they see is like what the last layer of their kind sees.
 */
import { layerOf, nextnLayersOf } from "../model/roles.js";
import type { SourceTensor } from "../model/source.js";
import type { ImatrixEntry } from "./imatrix.js";

/**
 * The entries, and for each tensor of a layer of multi-token prediction that has none the entry of the same tensor in
 * the nearest layer before it, if the shapes are alike.
 */
export function withBorrowed(
  entries: ReadonlyMap<string, ImatrixEntry>,
  tensors: readonly SourceTensor[],
): ReadonlyMap<string, ImatrixEntry> {
  const nextn = nextnLayersOf(tensors.map(({ name }) => name));
  if (nextn.size === 0) {
    return entries;
  }
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape.join()]));
  const result = new Map(entries);
  for (const { name, shape } of tensors) {
    const layer = layerOf(name);
    if (layer === undefined || !nextn.has(layer) || entries.has(name)) {
      continue;
    }
    const stem = name.slice(`blk.${layer}.`.length);
    for (let before = layer - 1; before >= 0; before--) {
      const like = `blk.${before}.${stem}`;
      const entry = shapes.get(like) === shape.join() ? entries.get(like) : undefined;
      if (entry !== undefined) {
        result.set(name, entry);
        break;
      }
    }
  }
  return result;
}
