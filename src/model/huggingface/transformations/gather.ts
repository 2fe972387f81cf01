/** Rows of a matrix in another order, or only some of them; columns in another order. */
import { traitsOf } from "../../../quants/types.js";
import { bytesPerRow, type Rows, widened } from "../rows.js";

/** Rows in one place of the source that stand together in the result too. */
interface Run {
  readonly from: number;
  /** Counted from the first row asked for. */
  readonly to: number;
  count: number;
}

/**
 * The matrix whose row r is row `sourceRow(r)` of `source`. Rows that lie close together in the source are read
 * at once and sorted in memory; others run by run.
 */
export function gatheredRows(source: Rows, rows: number, sourceRow: (row: number) => number): Rows {
  const stride = bytesPerRow(source);
  return {
    columns: source.columns,
    rows,
    type: source.type,
    async read(first, count) {
      const runs = runsOf(first, count, sourceRow);
      const [only] = runs;
      if (runs.length === 1 && only) {
        return await source.read(only.from, only.count);
      }
      const out = new Uint8Array(count * stride);
      const begin = runs.reduce((least, { from }) => Math.min(least, from), Infinity);
      const end = runs.reduce((most, run) => Math.max(most, run.from + run.count), 0);
      if (count > 0 && end - begin <= 2 * count + maxGap) {
        const bytes = await source.read(begin, end - begin);
        for (const { from, to, count: length } of runs) {
          const at = (from - begin) * stride;
          out.set(bytes.subarray(at, at + length * stride), to * stride);
        }
        return out;
      }
      for (const { from, to, count: length } of runs) {
        out.set(await source.read(from, length), to * stride);
      }
      return out;
    },
  };
}

/** Rows read for nothing at most, beside twice those that are needed: two heads. */
const maxGap = 512;

function runsOf(first: number, count: number, sourceRow: (row: number) => number): readonly Run[] {
  const runs: Run[] = [];
  for (let row = 0; row < count; row++) {
    const from = sourceRow(first + row);
    const last = runs.at(-1);
    if (last && from === last.from + last.count) {
      last.count++;
    } else {
      runs.push({ from, to: row, count: 1 });
    }
  }
  return runs;
}

/** The matrix whose column c is column `sourceColumn(c)` of `source`; read as float32 if its type has blocks. */
export function gatheredColumns(source: Rows, sourceColumn: (column: number) => number): Rows {
  const plain = traitsOf(source.type).quantized ? widened(source) : source;
  const { columns, rows, type } = plain;
  const { blockBytes: size } = traitsOf(type);
  const places = Int32Array.from({ length: columns }, (_, column) => sourceColumn(column) * size);
  const stride = columns * size;
  return {
    columns,
    rows,
    type,
    async read(first, count) {
      const bytes = await plain.read(first, count);
      const out = new Uint8Array(bytes.length);
      for (let row = 0; row < count; row++) {
        const start = row * stride;
        for (let column = 0; column < columns; column++) {
          const from = start + (places[column] ?? 0);
          const to = start + column * size;
          for (let byte = 0; byte < size; byte++) {
            out[to + byte] = bytes[from + byte] ?? 0;
          }
        }
      }
      return out;
    },
  };
}
