/** Telling models apart by what all conversions of a model have in common. */
import { createHash } from "node:crypto";
import { type ModelSource, rowCount, type SourceTensor, weightCount } from "../model/source.js";
import { decodeRows } from "../quants/codec.js";
import { traitsOf } from "../quants/types.js";

/** Vectors are read up to this many weights in all: norms of a large model are some hundred thousand. */
const mostWeights = 1 << 24;

/**
 * SHA-256 of the names and shapes of all tensors and of the values of the vectors (norms, biases), which no
 * conversion quantizes: the same for the BF16 and the Q8_0 file of a model, different for its fine-tunes.
 */
export async function modelFingerprint(source: ModelSource): Promise<string> {
  const hash = createHash("sha256");
  const sorted = [...source.tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  let room = mostWeights;
  for (const tensor of sorted) {
    hash.update(`${tensor.name}[${tensor.shape.join(",")}]\n`);
    const weights = weightCount(tensor.shape);
    if (rowCount(tensor.shape) > 1 || !traitsOf(tensor.type).canDecode || weights > room) {
      continue;
    }
    room -= weights;
    hash.update(await valuesOf(tensor, weights));
  }
  return hash.digest("hex");
}

async function valuesOf(tensor: SourceTensor, weights: number): Promise<Uint8Array> {
  const values = new Float32Array(weights);
  decodeRows(tensor.type, await tensor.readRows(0, 1), values);
  return new Uint8Array(values.buffer);
}
