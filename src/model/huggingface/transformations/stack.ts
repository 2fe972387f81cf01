/** Experts that are stored one by one, as one matrix: the rows of each after those of the one before. */
import { InternalError } from "../../../errors.js";
import { bytesPerRow, type Rows, widened } from "../rows.js";

/** Stacks matrices of one shape. Where their types differ all of them are read as float32. */
export function stacked(parts: readonly Rows[]): Rows {
  const [first] = parts;
  if (first === undefined) {
    throw new InternalError("no matrices to stack.");
  }
  const sameType = parts.every(({ type }) => type === first.type);
  const sources = sameType ? parts : parts.map(widened);
  const { type } = sameType ? first : { type: "F32" as const };
  const rowsPerPart = first.rows;
  const stride = bytesPerRow({ type, columns: first.columns });
  return {
    columns: first.columns,
    rows: rowsPerPart * parts.length,
    type,
    async read(firstRow, count) {
      const end = firstRow + count;
      const pieces: Uint8Array[] = [];
      for (let row = firstRow; row < end; ) {
        const part = Math.floor(row / rowsPerPart);
        const inPart = row - part * rowsPerPart;
        const length = Math.min(end - row, rowsPerPart - inPart);
        const source = sources[part];
        if (source === undefined) {
          throw new InternalError(`row ${row} of a stack of ${parts.length} matrices was asked for.`);
        }
        pieces.push(await source.read(inPart, length));
        row += length;
      }
      return joined(pieces, count * stride);
    },
  };
}

function joined(pieces: readonly Uint8Array[], byteLength: number): Uint8Array {
  const [only] = pieces;
  if (pieces.length === 1 && only) {
    return only;
  }
  const out = new Uint8Array(byteLength);
  let end = 0;
  for (const piece of pieces) {
    out.set(piece, end);
    end += piece.byteLength;
  }
  return out;
}
