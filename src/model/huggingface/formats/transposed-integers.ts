/**
 * GPTQ and AWQ: codes of 4 (GPTQ also 8) bits in 32-bit words, stored the other way round: a line of the file
 * belongs to one input. A weight is (code - zero point) x scale of the input's group.
 *
 *     GPTQ: qweight [inputs / n, outputs]   the n codes of a word are those of n inputs
 *     AWQ:  qweight [inputs, outputs / 8]   the 8 codes of a word are those of 8 outputs, in the order below
 *     both: qzeros [groups, outputs / n], scales [groups, outputs]; GPTQ also g_idx [inputs]
 */
import { decodeRows } from "../../../quants/codec.js";
import type { SafetensorsTensor } from "../../../safetensors/header.js";
import { floatBytes, type Rows } from "../rows.js";
import { type RecentMatrices, transposed } from "../transformations/transpose.js";
import { readGroups, readWords, unpacked } from "./packed-integers.js";
import { failTensor, type StoredTensor } from "./stored-tensor.js";

export interface TransposedIntegers {
  readonly method: "gptq" | "awq";
  readonly weight: SafetensorsTensor;
  readonly zeros: SafetensorsTensor;
  readonly scales: SafetensorsTensor;
  readonly groupIndex?: SafetensorsTensor | undefined;
  readonly bits: 4 | 8;
  /** What is added to the stored zero points: 1 in GPTQ's first format. */
  readonly zeroOffset: 0 | 1;
}

/** Which four bits of a word, counted from the lowest, hold AWQ's outputs 0 to 7. */
const awqOrder = [0, 4, 1, 5, 2, 6, 3, 7];

/** A GPTQ or AWQ tensor called `name`, as rows of outputs in float32. */
export function transposedIntegers(
  name: string,
  parts: TransposedIntegers,
  recent: RecentMatrices,
): StoredTensor {
  const lines = inputLines(parts);
  const turned = transposed(lines, 1, recent);
  const { rows, columns } = turned;
  return {
    ...turned,
    name,
    file: parts.weight.source.name,
    shape: [rows, columns],
    format: parts.bits === 4 ? "INT4" : "INT8",
    bytes: parts.weight.byteLength + parts.zeros.byteLength + parts.scales.byteLength,
  };
}

/** The decoded weights as they lie in the file: a row for each input. */
function inputLines(parts: TransposedIntegers): Rows {
  const { method, weight, zeros, scales, groupIndex, bits } = parts;
  const perWord = 32 / bits;
  const isGptq = method === "gptq";
  if (!isGptq && bits !== 4) {
    failTensor(weight, `is of AWQ with ${bits} bits; only 4 can be read`);
  }
  const [lines = 0, words = 0] = weight.shape;
  const inputs = isGptq ? lines * perWord : lines;
  const outputs = isGptq ? words : words * perWord;
  const [groups = 0, scaleColumns] = scales.shape;
  if (weight.shape.length !== 2 || scaleColumns !== outputs || groups === 0 || inputs % groups !== 0) {
    failTensor(
      scales,
      `has shape [${scales.shape.join(", ")}], which does not fit "${weight.name}" of [${weight.shape.join(", ")}]`,
    );
  }
  if (zeros.shape.join() !== [groups, outputs / perWord].join()) {
    failTensor(
      zeros,
      `has shape [${zeros.shape.join(", ")}], but [${groups}, ${outputs / perWord}] is expected`,
    );
  }
  const groupSize = inputs / groups;
  const mask = 2 ** bits - 1;
  return {
    columns: outputs,
    rows: inputs,
    type: "F32",
    async read(first, count) {
      const firstLine = isGptq ? Math.floor(first / perWord) : first;
      const endLine = isGptq ? Math.ceil((first + count) / perWord) : first + count;
      const [stored, zeroWords, factors, groupOf] = await Promise.all([
        readWords(weight, firstLine * words, (endLine - firstLine) * words),
        readWords(zeros, 0, groups * (outputs / perWord)),
        readFactors(scales, groups * outputs),
        groupIndex && readGroups(groupIndex, inputs, groups),
      ]);
      const inOrder = (words: Int32Array) =>
        isGptq ? unpacked(words, bits) : inAwqOrder(unpacked(words, bits));
      const offsets = Int32Array.from(inOrder(zeroWords), (zero) => zero + parts.zeroOffset);
      const codes = isGptq ? new Uint8Array(outputs) : inOrder(stored);
      const out = new Float32Array(count * outputs);
      for (let row = 0; row < count; row++) {
        const input = first + row;
        if (isGptq) {
          const line = (Math.floor(input / perWord) - firstLine) * words;
          unpackAt(stored.subarray(line, line + words), (input % perWord) * bits, mask, codes);
        }
        const group = groupOf ? (groupOf[input] as number) : Math.floor(input / groupSize);
        const ofGroup = [group * outputs, (group + 1) * outputs] as const;
        decodeLine(
          isGptq ? codes : codes.subarray(row * outputs, (row + 1) * outputs),
          offsets.subarray(...ofGroup),
          factors.subarray(...ofGroup),
          out.subarray(row * outputs, (row + 1) * outputs),
        );
      }
      return floatBytes(out);
    },
  };
}

/** The code that begins at bit `shift` of each word. */
function unpackAt(words: Int32Array, shift: number, mask: number, codes: Uint8Array): void {
  for (let index = 0; index < codes.length; index++) {
    codes[index] = ((words[index] as number) >>> shift) & mask;
  }
}

function decodeLine(codes: Uint8Array, offsets: Int32Array, factors: Float32Array, out: Float32Array): void {
  for (let index = 0; index < out.length; index++) {
    out[index] = ((codes[index] as number) - (offsets[index] as number)) * (factors[index] as number);
  }
}

/** Codes of AWQ's words, eight at a time, in the order of the outputs. */
function inAwqOrder(codes: Uint8Array): Uint8Array {
  const ordered = new Uint8Array(codes.length);
  for (let start = 0; start < codes.length; start += 8) {
    for (let output = 0; output < 8; output++) {
      ordered[start + output] = codes[start + (awqOrder[output] as number)] as number;
    }
  }
  return ordered;
}

async function readFactors(scales: SafetensorsTensor, count: number): Promise<Float32Array> {
  const { dtype } = scales;
  if (dtype !== "F16" && dtype !== "BF16" && dtype !== "F32") {
    failTensor(scales, `has scales of dtype ${dtype}; F32, F16 and BF16 can be read`);
  }
  const factors = new Float32Array(count);
  decodeRows(dtype, await scales.source.read(scales.offset, scales.byteLength), factors);
  const at = factors.findIndex((factor) => !Number.isFinite(factor));
  if (at >= 0) {
    failTensor(scales, `has the scale ${factors[at]} at place ${at}; download the file again`);
  }
  return factors;
}
