/** Matrices whose values change (as float32), or whose rows get another length. */
import { traitsOf } from "../../../quants/types.js";
import { floatBytes, type Rows, readFloats, widened } from "../rows.js";

/** The matrix with each value put through `change`, in float32. */
export function mappedValues(source: Rows, change: (value: number) => number): Rows {
  return {
    columns: source.columns,
    rows: source.rows,
    type: "F32",
    async read(first, count) {
      return floatBytes((await readFloats(source, first, count)).map(change));
    },
  };
}

/** The same values in the same order, in rows of `columns`. */
export function inRowsOf(columns: number, source: Rows): Rows {
  if (columns === source.columns) {
    return source;
  }
  const plain = traitsOf(source.type).quantized ? widened(source) : source;
  const { blockBytes: size } = traitsOf(plain.type);
  return {
    columns,
    rows: (plain.rows * plain.columns) / columns,
    type: plain.type,
    async read(first, count) {
      const begin = first * columns;
      const firstRow = Math.floor(begin / plain.columns);
      const endRow = Math.ceil((begin + count * columns) / plain.columns);
      const bytes = await plain.read(firstRow, endRow - firstRow);
      const skipped = (begin - firstRow * plain.columns) * size;
      return bytes.slice(skipped, skipped + count * columns * size);
    },
  };
}

/** Two matrices of as many rows side by side: each row of the first goes on with that of the second. */
export function sideBySide(left: Rows, right: Rows): Rows {
  const [a, b] = [widened(left), widened(right)];
  const columns = a.columns + b.columns;
  return {
    columns,
    rows: a.rows,
    type: "F32",
    async read(first, count) {
      const out = new Float32Array(count * columns);
      const [leftRows, rightRows] = [await readFloats(a, first, count), await readFloats(b, first, count)];
      for (let row = 0; row < count; row++) {
        out.set(leftRows.subarray(row * a.columns, (row + 1) * a.columns), row * columns);
        out.set(rightRows.subarray(row * b.columns, (row + 1) * b.columns), row * columns + a.columns);
      }
      return floatBytes(out);
    },
  };
}

/** Values that are computed rather than read, as one row. */
export function constantRow(values: readonly number[]): Rows {
  const row = Float32Array.from(values);
  return {
    columns: row.length,
    rows: 1,
    type: "F32",
    read: async (_, count) => floatBytes(row.slice(0, count * row.length)),
  };
}
