/** The results of encoded slices on their way: of each nine float64 that must arrive to the bit, then its rows. */
import { MalformedInputError } from "../errors.js";
import type { Transcoded } from "../quants/transcode.js";
import { rowBytes } from "../quants/types.js";
import type { EncodeJob } from "./jobs.js";

const numbers = 9;
const headBytes = 8 * numbers;

/** Bytes of a job's result. */
export function encodeResultBytes(job: EncodeJob): number {
  return job.slices.reduce((sum, slice) => sum + headBytes + encodedBytes(job, slice), 0);
}

/** Bytes of a slice's rows in the target type. */
function encodedBytes(
  { sourceType, targetType, columns }: EncodeJob,
  { source }: EncodeJob["slices"][number],
): number {
  return (source.bytes / rowBytes(sourceType, columns)) * rowBytes(targetType, columns);
}

/** As bytes, slice after slice. */
export function packEncoded(slices: readonly Transcoded[]): Uint8Array {
  return new Uint8Array(Buffer.concat(slices.flatMap((slice) => [packHead(slice), slice.bytes])));
}

function packHead({ statistics, worst, outputs }: Transcoded): Uint8Array {
  const { weights, energy, loss, error, vanishedRows } = statistics;
  const none = Number.NaN;
  const values = [
    ...[weights, energy, loss, error, vanishedRows],
    ...[worst?.row ?? none, worst?.relativeError ?? none],
    ...[outputs?.energy ?? none, outputs?.error ?? none],
  ];
  const head = new DataView(new ArrayBuffer(headBytes));
  for (const [i, value] of values.entries()) {
    head.setFloat64(8 * i, value, true);
  }
  return new Uint8Array(head.buffer);
}

/** From bytes, slice after slice. Throws a MalformedInputError if they cannot be the job's result. */
export function unpackEncoded(job: EncodeJob, packed: Uint8Array): Transcoded[] {
  if (packed.byteLength !== encodeResultBytes(job)) {
    throw new MalformedInputError(
      `${job.slices[0]?.label}: a worker sent ${packed.byteLength} bytes instead of ${encodeResultBytes(job)}.`,
    );
  }
  let at = 0;
  return job.slices.map((slice) => {
    const rows = at + headBytes;
    const head = new DataView(packed.buffer, packed.byteOffset + at, headBytes);
    at = rows + encodedBytes(job, slice);
    return unpackSlice(job, slice, head, packed.slice(rows, at));
  });
}

function unpackSlice(
  { sourceType, columns }: EncodeJob,
  { label, source }: EncodeJob["slices"][number],
  head: DataView,
  bytes: Uint8Array,
): Transcoded {
  const at = (i: number) => head.getFloat64(8 * i, true);
  const statistics = { weights: at(0), energy: at(1), loss: at(2), error: at(3), vanishedRows: at(4) };
  const weights = (source.bytes / rowBytes(sourceType, columns)) * columns;
  if (statistics.weights !== weights || Object.values(statistics).some(Number.isNaN)) {
    throw new MalformedInputError(`${label}: a worker sent statistics of other rows.`);
  }
  return {
    bytes,
    statistics,
    ...(!Number.isNaN(at(5)) && { worst: { row: at(5), relativeError: at(6) } }),
    ...(!Number.isNaN(at(7)) && { outputs: { energy: at(7), error: at(8) } }),
  };
}
