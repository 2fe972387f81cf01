/** Scales of packed weights: small tensors that are read whole when the first of their rows is needed. */
import { decodeRows } from "../../../quants/codec.js";
import type { SafetensorsTensor } from "../../../safetensors/header.js";
import { e4m3Values } from "./eight-bit-floats.js";
import { failTensor, valueCount } from "./stored-tensor.js";

/** Scale tensors kept in memory: as many as a window of slices can need. */
const tensorsKept = 64;

/** Reads scale tensors as float32 and keeps the last ones. */
export class ScaleReader {
  readonly #kept = new Map<SafetensorsTensor, Promise<Float32Array>>();

  /** All values of a scale tensor. Throws a MalformedInputError if one is not finite. */
  read(tensor: SafetensorsTensor): Promise<Float32Array> {
    const found = this.#kept.get(tensor);
    if (found) {
      this.#kept.delete(tensor);
      this.#kept.set(tensor, found);
      return found;
    }
    const scales = readScales(tensor);
    scales.catch(() => this.#kept.delete(tensor));
    this.#kept.set(tensor, scales);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= tensorsKept) {
        break;
      }
      this.#kept.delete(oldest);
    }
    return scales;
  }
}

async function readScales(tensor: SafetensorsTensor): Promise<Float32Array> {
  const bytes = await tensor.source.read(tensor.offset, tensor.byteLength);
  const scales = new Float32Array(valueCount(tensor.shape));
  decodeScales(tensor, bytes, scales);
  const at = scales.findIndex((scale) => !Number.isFinite(scale));
  if (at >= 0) {
    failTensor(tensor, `has the scale ${scales[at]} at place ${at}; download the file again`);
  }
  return scales;
}

/** Decodes scales of any type that they are stored in. */
export function decodeScales(tensor: SafetensorsTensor, bytes: Uint8Array, out: Float32Array): void {
  const { dtype } = tensor;
  if (dtype === "F32" || dtype === "F16" || dtype === "BF16") {
    decodeRows(dtype, bytes, out);
  } else if (dtype === "F8_E8M0" || dtype === "U8") {
    // E8M0: a power of two, 255 is not a number.
    bytes.forEach((exponent, index) => {
      out[index] = exponent === 255 ? Number.NaN : 2 ** (exponent - 127);
    });
  } else if (dtype === "F8_E4M3") {
    bytes.forEach((bits, index) => {
      out[index] = e4m3Values[bits] ?? Number.NaN;
    });
  } else {
    failTensor(tensor, `has scales of dtype ${dtype}; F32, F16, BF16, E8M0 and E4M3 can be read`);
  }
}
