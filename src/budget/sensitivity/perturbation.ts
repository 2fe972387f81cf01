/**
 * Noise of known size on weights, for measuring how much a tensor's error costs: to every weight of a row the same
 * amount is added or subtracted, with signs that look random and are the same every time.
 */
import { InternalError } from "../../errors.js";
import { addStatistics, noStatistics, type Statistics, sumOfRows } from "../../quants/statistics.js";
import { rowBytes, type TypeName } from "../../quants/types.js";
import type { Workspace } from "../../quants/workspace.js";

export interface PerturbedRows {
  /** The rows with noise, in their own type. */
  readonly bytes: Uint8Array;
  /** Importance-weighted sums of the difference that was really made. */
  readonly statistics: Statistics;
}

export interface Perturbation {
  readonly type: TypeName;
  readonly columns: number;
  /** Mean square of the noise as a share of the row's mean square. */
  readonly level: number;
  /** One value for each column; all alike if undefined. */
  readonly importance: Float32Array | undefined;
  readonly signs: SignSource;
}

/** Weights handled at a time. */
const batchWeights = 16384;

/**
 * Adds noise to whole rows. What is measured is the difference after the rows are stored again: a quantized type
 * rounds the noise too.
 */
export function perturbRows(
  rows: Uint8Array,
  perturbation: Perturbation,
  workspace: Workspace,
): PerturbedRows {
  const { type, columns, importance } = perturbation;
  const stride = rowBytes(type, columns);
  if (rows.byteLength % stride !== 0) {
    throw new InternalError(`${rows.byteLength} bytes are not whole rows of ${stride} bytes.`);
  }
  const batchRows = Math.max(1, Math.floor(batchWeights / columns));
  workspace.arrange(columns, batchRows, stride, stride);
  workspace.importance.fill(1);
  if (importance) {
    workspace.importance.set(importance);
  }
  const bytes = new Uint8Array(rows.byteLength);
  let statistics: Statistics = noStatistics;
  for (let start = 0; start < rows.byteLength; start += batchRows * stride) {
    const batch = rows.subarray(start, start + batchRows * stride);
    const count = batch.byteLength / stride;
    statistics = addStatistics(statistics, perturbBatch(batch, count, perturbation, workspace));
    bytes.set(workspace.encoded.subarray(0, batch.byteLength), start);
  }
  return { bytes, statistics };
}

function perturbBatch(
  batch: Uint8Array,
  count: number,
  { type, columns, level, signs }: Perturbation,
  workspace: Workspace,
): Statistics {
  const size = count * columns;
  const stored = workspace.source.subarray(0, batch.byteLength);
  const weights = workspace.weights.subarray(0, size);
  const encoded = workspace.encoded.subarray(0, batch.byteLength);
  const decoded = workspace.decoded.subarray(0, size);
  stored.set(batch);
  workspace.decode(type, stored, weights);
  const original = weights.slice();
  for (let row = 0; row < count; row++) {
    addNoise(weights.subarray(row * columns, (row + 1) * columns), level, signs);
  }
  workspace.encode(type, weights, columns, undefined, "fast", encoded);
  workspace.decode(type, encoded, decoded);
  weights.set(original);
  workspace.measure(weights, decoded, columns);
  return { ...sumOfRows(workspace.sums, count), weights: size };
}

function addNoise(row: Float32Array, level: number, signs: SignSource): void {
  let squares = 0;
  for (const weight of row) {
    squares += weight * weight;
  }
  const amount = Math.sqrt((level * squares) / row.length);
  for (const [i, weight] of row.entries()) {
    row[i] = signs.next() ? weight + amount : weight - amount;
  }
}

/** Signs by Marsaglia's xorshift generator (2003), 32 from each number. */
export class SignSource {
  #state: number;
  #bits = 0;
  #left = 0;

  /** The same name gives the same signs. */
  constructor(name: string) {
    // FNV-1a; the generator must not start with zero.
    let hash = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(name)) {
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    this.#state = hash | 1;
  }

  next(): boolean {
    if (this.#left === 0) {
      let state = this.#state;
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      this.#state = state;
      this.#bits = state;
      this.#left = 32;
    }
    const bit = this.#bits & 1;
    this.#bits >>>= 1;
    this.#left--;
    return bit === 1;
  }
}
