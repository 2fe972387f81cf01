/** NVFP4 for the output-aware encoder: blocks of 16 whose integer scale is the byte of their own scale; d is 1. */
import { e2m1Codes, nearestE2m1 } from "../four-bit-float-encode.js";
import { halfUe4m3 } from "../nvfp4.js";
import { type BlockFormat, superblockWeights } from "./format.js";

const block = 16;
/** Four scales and the codes of 64 weights lie together. */
const [partWeights, partBytes, codesAt] = [64, 36, 4];

export const formatNVFP4: BlockFormat = {
  choice: { kind: "four-bit floats" },
  block,
  unit: 1,
  bytes: (superblockWeights / partWeights) * partBytes,
  lowest: 0,
  highest: 126,
  highestMinimum: 0,
  isScaleFixed: true,
  multiple: (s) => halfUe4m3[s]!,
  read(bytes, at, scales) {
    scales.d = 1;
    for (let i = 0; i < superblockWeights / block; i++) {
      scales.scales[i] = bytes[at + partBytes * (i >> 2) + (i & 3)]!;
    }
  },
  choose(targets, _weights, at, scale, values) {
    const target = targets[at]!;
    values[at] = scale === 0 ? 0 : Math.sign(target) * nearestE2m1(Math.abs(target) / scale);
  },
  write(scales, values, from, out, at) {
    const codeOf = (i: number) => {
      const code = e2m1Codes.get(Math.abs(values[from + i]!))!;
      return values[from + i]! < 0 ? code | 8 : code;
    };
    for (let i = 0; i < superblockWeights / block; i++) {
      const part = at + partBytes * (i >> 2);
      out[part + (i & 3)] = scales.scales[i]!;
      for (let j = 0; j < block / 2; j++) {
        const first = block * i + j;
        out[part + codesAt + 8 * (i & 3) + j] = codeOf(first) | (codeOf(first + block / 2) << 4);
      }
    }
  },
};
