/** Telling models apart by what all conversions of a model have in common. */
import { createHash } from "node:crypto";
import { namesFusedOrNot } from "../model/roles.js";
import { type ModelSource, rowCount, type SourceTensor, weightCount } from "../model/source.js";
import { decodeRows } from "../quants/codec.js";
import { traitsOf } from "../quants/types.js";

/** Vectors are read up to this many weights in all: norms of a large model are some hundred thousand. */
const mostWeights = 1 << 24;

/**
 * SHA-256 of the names and shapes of all tensors and of the values of the vectors (norms, biases), which no
 * conversion quantizes: the same for the BF16 and the Q8_0 file of a model, different for its fine-tunes.
 */
export function modelFingerprint(source: ModelSource): Promise<string> {
  return fingerprintOf(source.tensors);
}

/**
 * The fingerprints by which a model's sensitivities may be known: its own, and that of the same model with gate and up
 * of the routed experts as one tensor, or as two.
 */
export async function modelFingerprints({ tensors }: ModelSource): Promise<string[]> {
  const others = otherForm(tensors);
  return Promise.all([tensors, ...(others ? [others] : [])].map(fingerprintOf));
}

async function fingerprintOf(tensors: readonly SourceTensor[]): Promise<string> {
  const hash = createHash("sha256");
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
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

/** The tensors, with gate and up fused where they are not and the other way round; undefined if there are none. */
function otherForm(tensors: readonly SourceTensor[]): SourceTensor[] | undefined {
  let changes = false;
  const others = tensors.flatMap((tensor): SourceTensor[] => {
    const [columns = 1, rows = 1, experts = 1] = tensor.shape;
    const [first, second] = namesFusedOrNot(tensor.name);
    if (first === undefined || !tensor.name.endsWith(".weight")) {
      return [tensor];
    }
    changes = true;
    if (second !== undefined) {
      return [first, second].map((name) => ({ ...tensor, name, shape: [columns, rows / 2, experts] }));
    }
    const isGate = tensor.name.includes("ffn_gate_exps");
    return isGate ? [{ ...tensor, name: first, shape: [columns, 2 * rows, experts] }] : [];
  });
  return changes ? others : undefined;
}
