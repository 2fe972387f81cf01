/**
 * Matrices that are stored with rows and columns exchanged. One row of the result needs all rows of its source, so
 * a whole matrix (of one expert, of one head) is read and kept for the slices that follow.
 */
import { traitsOf } from "../../../quants/types.js";
import { type Rows, widened } from "../rows.js";

/** Weights read at a time while a matrix is transposed: 8 MB as float16. */
const weightsAtOnce = 1 << 22;

/** Matrices kept: a slice that is read early can belong to the next one. */
const matricesKept = 2;

/** The transposed matrices of a model that were used last. All tensors share one, so that they are few. */
export class RecentMatrices {
  readonly #kept: { readonly owner: Rows; readonly matrix: number; readonly bytes: Promise<Uint8Array> }[] =
    [];

  /** The matrix of this number, made by `load` unless it is among the last ones. */
  get(owner: Rows, matrix: number, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const found = this.#kept.find((one) => one.owner === owner && one.matrix === matrix);
    if (found) {
      return found.bytes;
    }
    const entry = { owner, matrix, bytes: load() };
    entry.bytes.catch(() => this.#kept.splice(0, this.#kept.length));
    this.#kept.push(entry);
    if (this.#kept.length > matricesKept) {
      this.#kept.shift();
    }
    return entry.bytes;
  }
}

/** Transposes each of the `matrices` matrices, of as many rows each, that `source` has one after another. */
export function transposed(source: Rows, matrices: number, recent: RecentMatrices): Rows {
  const plain = traitsOf(source.type).quantized ? widened(source) : source;
  const sourceRows = plain.rows / matrices;
  const { columns: sourceColumns, type } = plain;
  const { blockBytes: size } = traitsOf(type);
  const stride = sourceRows * size;
  return {
    columns: sourceRows,
    rows: sourceColumns * matrices,
    type,
    async read(first, count) {
      const out = new Uint8Array(count * stride);
      for (let row = first; row < first + count; ) {
        const matrix = Math.floor(row / sourceColumns);
        const inMatrix = row - matrix * sourceColumns;
        const length = Math.min(first + count - row, sourceColumns - inMatrix);
        const bytes = await recent.get(source, matrix, () =>
          loadTransposed(plain, matrix * sourceRows, sourceRows),
        );
        out.set(bytes.subarray(inMatrix * stride, (inMatrix + length) * stride), (row - first) * stride);
        row += length;
      }
      return out;
    },
  };
}

async function loadTransposed(source: Rows, firstRow: number, rows: number): Promise<Uint8Array> {
  const { columns, type } = source;
  const { blockBytes: size } = traitsOf(type);
  const out = new Uint8Array(rows * columns * size);
  const atOnce = Math.max(1, Math.floor(weightsAtOnce / columns));
  for (let done = 0; done < rows; done += atOnce) {
    const count = Math.min(atOnce, rows - done);
    const bytes = await source.read(firstRow + done, count);
    if (size === 2) {
      transposeInto(elements(bytes, Uint16Array), elements(out, Uint16Array), { columns, rows, done, count });
    } else {
      transposeInto(elements(bytes, Uint32Array), elements(out, Uint32Array), { columns, rows, done, count });
    }
  }
  return out;
}

function elements<T extends Uint16Array | Uint32Array>(
  bytes: Uint8Array,
  kind: { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBufferLike, at: number, length: number): T },
): T {
  const aligned = bytes.byteOffset % kind.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new kind(aligned.buffer, aligned.byteOffset, bytes.byteLength / kind.BYTES_PER_ELEMENT);
}

/** Columns handled at a time: their lines of the result stay in the cache. */
const columnsAtOnce = 16;

function transposeInto(
  from: Uint16Array | Uint32Array,
  to: Uint16Array | Uint32Array,
  place: { readonly columns: number; readonly rows: number; readonly done: number; readonly count: number },
): void {
  const { columns, rows, done, count } = place;
  for (let start = 0; start < columns; start += columnsAtOnce) {
    const end = Math.min(columns, start + columnsAtOnce);
    for (let row = 0; row < count; row++) {
      for (let column = start; column < end; column++) {
        to[column * rows + done + row] = from[row * columns + column] ?? 0;
      }
    }
  }
}
