/** The operands of the products that observers watch. */
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError } from "../errors.js";

/** An operand of a node. */
export function operandOf(node: NativeTensor, index: number): NativeTensor {
  const source = node.source(index);
  if (source === undefined) {
    throw new InternalError(`the product "${node.name}" has no operand ${index}.`);
  }
  return source;
}

/** Name of a weight; a copy for another device is called "CUDA0#blk.0.attn_k.weight#0". */
export function weightName(weight: NativeTensor): string {
  const { name } = weight;
  return name.includes("#") ? (name.split("#")[1] ?? name) : name;
}

/** A weight's name with its layer's number raised by `layers`. */
export function raiseLayer(name: string, layers: number): string {
  return layers === 0 ? name : name.replace(/^blk\.(\d+)\./, (_, layer) => `blk.${Number(layer) + layers}.`);
}
