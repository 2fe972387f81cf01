/**
 * FP4 (E2M1) weights, two in a byte, the first in the low nibble.
 *
 * MXFP4 has a power of two (E8M0) for each 32 weights. Its blocks become those of GGUF without loss: there too a
 * block is an exponent and 32 codes, only in another order. NVFP4 has an E4M3 scale for each 16 and one float32
 * for all, and is read as float32.
 */
import type { SafetensorsTensor } from "../../../safetensors/header.js";
import { floatBytes } from "../rows.js";
import { decodeScales, type ScaleReader } from "./scales.js";
import { failTensor, rowsAndColumns, type StoredTensor, valueCount } from "./stored-tensor.js";

const mxBlock = 32;
const nvBlock = 16;

/** Values of the 16 codes; the lower eight are positive. */
const e2m1Values = Float32Array.of(0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6);

/**
 * An MXFP4 tensor called `name`, of codes [..., columns / 2] or [..., columns / 32, 16] and scales
 * [..., columns / 32].
 */
export function mxfp4Tensor(name: string, codes: SafetensorsTensor, scales: SafetensorsTensor): StoredTensor {
  const outer = scales.shape.slice(0, -1);
  const blocksPerRow = scales.shape.at(-1) ?? 0;
  const shape = [...outer, blocksPerRow * mxBlock];
  checkShape(codes, scales, [outer, [outer.length > 0 ? blocksPerRow * 16 : 0]]);
  const { rows, columns } = rowsAndColumns(shape);
  return {
    name,
    file: codes.source.name,
    shape,
    format: "MXFP4",
    bytes: codes.byteLength + scales.byteLength,
    rows,
    columns,
    type: "MXFP4",
    async read(first, count) {
      const blocks = count * blocksPerRow;
      const [packed, exponents] = await Promise.all([
        codes.source.read(codes.offset + first * blocksPerRow * 16, blocks * 16),
        scales.source.read(scales.offset + first * blocksPerRow, blocks),
      ]);
      const bad = exponents.indexOf(255);
      if (bad >= 0) {
        failTensor(
          scales,
          `has a scale that is not a number in row ${first + Math.floor(bad / blocksPerRow)}`,
        );
      }
      return repacked(packed, exponents);
    },
  };
}

/** Blocks of GGUF: exponent, then byte j with weight j in its low nibble and weight j + 16 in its high one. */
function repacked(packed: Uint8Array, exponents: Uint8Array): Uint8Array {
  const out = new Uint8Array(exponents.length * 17);
  for (let block = 0, from = 0, to = 0; block < exponents.length; block++, from += 16, to += 17) {
    out[to] = exponents[block] as number;
    for (let pair = 0; pair < 8; pair++) {
      const low = packed[from + pair] as number;
      const high = packed[from + 8 + pair] as number;
      out[to + 1 + 2 * pair] = (low & 15) | ((high & 15) << 4);
      out[to + 2 + 2 * pair] = (low >> 4) | (high & 0xf0);
    }
  }
  return out;
}

/** What an NVFP4 tensor is made of. */
export interface Nvfp4Parts {
  readonly codes: SafetensorsTensor;
  /** One for each 16 weights. */
  readonly scales: SafetensorsTensor;
  /** One for the whole tensor: a factor, or in checkpoints of compressed-tensors a divisor. */
  readonly global: SafetensorsTensor;
  readonly divides: boolean;
}

/** An NVFP4 tensor called `name`, read as float32. */
export function nvfp4Tensor(name: string, parts: Nvfp4Parts, reader: ScaleReader): StoredTensor {
  const { codes, scales, global, divides } = parts;
  const outer = codes.shape.slice(0, -1);
  const columns = (codes.shape.at(-1) ?? 0) * 2;
  const shape = [...outer, columns];
  const { rows } = rowsAndColumns(shape);
  const blocksPerRow = columns / nvBlock;
  if (!Number.isInteger(blocksPerRow) || valueCount(scales.shape) !== rows * blocksPerRow) {
    failTensor(
      scales,
      `has shape [${scales.shape.join(", ")}], but "${codes.name}" needs a scale for each 16 weights`,
    );
  }
  const globals = valueCount(global.shape);
  const rowsPerGlobal = rows / globals;
  if (globals !== 1 && globals !== outer[0]) {
    failTensor(global, `has ${globals} values, but one for each matrix is expected`);
  }
  return {
    name,
    file: codes.source.name,
    shape,
    format: "NVFP4",
    bytes: codes.byteLength + scales.byteLength + global.byteLength,
    rows,
    columns,
    type: "F32",
    async read(first, count) {
      const [packed, scaleBytes, factors] = await Promise.all([
        codes.source.read(codes.offset + (first * columns) / 2, (count * columns) / 2),
        scales.source.read(scales.offset + first * blocksPerRow, count * blocksPerRow),
        reader.read(global),
      ]);
      const blockScales = new Float32Array(scaleBytes.length);
      decodeScales(scales, scaleBytes, blockScales);
      const out = new Float32Array(count * columns);
      for (let block = 0; block < blockScales.length; block++) {
        const row = first + Math.floor(block / blocksPerRow);
        const factor = factors[Math.floor(row / rowsPerGlobal)] as number;
        const scale = Math.fround(
          (blockScales[block] as number) * (divides ? Math.fround(1 / factor) : factor),
        );
        if (!Number.isFinite(scale)) {
          failTensor(scales, `has a scale that is not a number in row ${row}`);
        }
        for (let pair = 0; pair < nvBlock / 2; pair++) {
          const byte = packed[(block * nvBlock) / 2 + pair] as number;
          out[block * nvBlock + 2 * pair] = (e2m1Values[byte & 15] as number) * scale;
          out[block * nvBlock + 2 * pair + 1] = (e2m1Values[byte >> 4] as number) * scale;
        }
      }
      return floatBytes(out);
    },
  };
}

function checkShape(
  codes: SafetensorsTensor,
  scales: SafetensorsTensor,
  [outer, [bytesPerRow]]: readonly [readonly number[], readonly [number]],
): void {
  const { shape } = codes;
  const isFlat = shape.join() === [...outer, bytesPerRow].join();
  const isInBlocks = shape.join() === [...outer, bytesPerRow / 16, 16].join();
  if (!isFlat && !isInBlocks) {
    failTensor(
      scales,
      `has shape [${scales.shape.join(", ")}], but "${codes.name}" of [${shape.join(", ")}] needs a scale for each 32 weights`,
    );
  }
}
