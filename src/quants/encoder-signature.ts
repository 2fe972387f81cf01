/** Telling encoders apart by what they do, so that errors kept from an earlier version are not taken for today's. */
import { createHash } from "node:crypto";
import type { Effort } from "./effort.js";
import { packedLength, packedRow } from "./output-aware/packed.js";
import { sharedInput } from "./shared-input.js";
import type { Transcoder } from "./transcoder.js";
import type { TypeName } from "./types.js";

const columns = 256;
const rows = 4;

const signatures = new WeakMap<Transcoder, Map<string, Promise<string>>>();

/** SHA-256 of how a pool encodes some fixed rows, with moments or without, and the type and effort. */
export function encoderSignature(
  pool: Transcoder,
  type: TypeName,
  effort: Effort,
  withMoments: boolean,
): Promise<string> {
  const known = signatures.get(pool) ?? new Map<string, Promise<string>>();
  signatures.set(pool, known);
  const key = `${type} ${effort} ${withMoments}`;
  const signature = known.get(key) ?? encodeFixedRows(pool, type, effort, withMoments);
  known.set(key, signature);
  return signature;
}

async function encodeFixedRows(
  pool: Transcoder,
  type: TypeName,
  effort: Effort,
  withMoments: boolean,
): Promise<string> {
  const { bytes } = await pool.transcode({
    label: "encoder signature",
    firstRow: 0,
    sourceType: "F32",
    targetType: type,
    columns,
    source: new Uint8Array(fixedRows().buffer),
    importance: sharedInput(Float32Array.from({ length: columns }, (_, i) => 1 + (i % 7))),
    effort,
    moments: withMoments
      ? { name: "encoder signature", sums: sharedInput(fixedMoments()), vectors: 1e4 }
      : undefined,
  });
  return createHash("sha256").update(`${type} ${effort} `).update(bytes).digest("hex");
}

/** Neighbouring columns are alike. */
function fixedMoments(): Float32Array {
  const sums = new Float32Array(packedLength(columns));
  for (let i = 0; i < columns; i++) {
    for (let j = i; j < columns; j++) {
      sums[packedRow(columns, i) + j - i] = 0.75 ** Math.min(j - i, 64);
    }
  }
  return sums;
}

/** Sums of sines that hit no period of the blocks: uneven and the same everywhere, up to the last bit or so. */
function fixedRows(): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) =>
    Math.fround(Math.round(1e4 * (Math.sin(1.7 * i) + 0.6 * Math.sin(0.013 * i * i))) / 1e6),
  );
}
