/** Unquantized types: F32, F16, BF16, little-endian. Conversions round to nearest even and keep NaN. */
import type { Decoder, RowEncoder } from "./block.js";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, readU16, writeU16 } from "./half.js";

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const decodeF32: Decoder = (bytes, out) => {
  const view = viewOf(bytes);
  for (let i = 0; i < out.length; i++) {
    out[i] = view.getFloat32(4 * i, true);
  }
};

export const encodeF32: RowEncoder = (row, _importance, out) => {
  const view = viewOf(out);
  for (let i = 0; i < row.length; i++) {
    view.setFloat32(4 * i, row[i]!, true);
  }
};

export const decodeF16: Decoder = (bytes, out) => {
  for (let i = 0; i < out.length; i++) {
    out[i] = f16ToF32(readU16(bytes, 2 * i));
  }
};

export const encodeF16: RowEncoder = (row, _importance, out) => {
  for (let i = 0; i < row.length; i++) {
    writeU16(out, 2 * i, f32ToF16(row[i]!));
  }
};

export const decodeBf16: Decoder = (bytes, out) => {
  for (let i = 0; i < out.length; i++) {
    out[i] = bf16ToF32(readU16(bytes, 2 * i));
  }
};

export const encodeBf16: RowEncoder = (row, _importance, out) => {
  for (let i = 0; i < row.length; i++) {
    writeU16(out, 2 * i, f32ToBf16(row[i]!));
  }
};
