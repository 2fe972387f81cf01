/** Lists of tensors for messages, short even when they name a tensor of every layer. */

import { abbreviate } from "../contract/suggest.js";
import { layerOf } from "../model/roles.js";

/** "output.weight, blk.0-5,9.attn_v.weight": one item for all layers of a tensor. */
export function tensorNames(names: readonly string[]): string {
  const layersOf = new Map<string, number[]>();
  for (const name of names) {
    const layer = layerOf(name);
    const stem = layer === undefined ? name : name.slice(`blk.${layer}.`.length);
    const key = layer === undefined ? stem : `blk.*.${stem}`;
    layersOf.set(key, [...(layersOf.get(key) ?? []), ...(layer === undefined ? [] : [layer])]);
  }
  return abbreviate([...layersOf].map(([key, layers]) => key.replace("*", ranges(layers))));
}

/** "0-5,9" */
function ranges(layers: readonly number[]): string {
  const parts: [first: number, last: number][] = [];
  for (const layer of [...layers].sort((a, b) => a - b)) {
    const open = parts.at(-1);
    if (open !== undefined && open[1] + 1 === layer) {
      open[1] = layer;
    } else {
      parts.push([layer, layer]);
    }
  }
  return parts.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(",");
}
