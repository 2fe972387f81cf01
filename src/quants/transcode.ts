/**
 * The unit of quantizing: some whole rows of one tensor (and, with experts, of one expert) are decoded to
 * float32, encoded as another type and compared with the source. A pure function of the slice, so slices can be
 * computed anywhere and in any order, and cut anywhere.
 */
import { InternalError, MalformedInputError } from "../errors.js";
import type { Effort } from "./effort.js";
import { type InputMoments, isRefinable, noOutputErrors, type OutputErrors } from "./output-aware/refine.js";
import type { SharedInput } from "./shared-input.js";
import { noStatistics, type Statistics } from "./statistics.js";
import { rowBytes, type TypeName, traitsOf } from "./types.js";
import type { Workspace } from "./workspace.js";

export interface Slice {
  /** What to call the tensor in a message, for example: model.gguf: tensor "output.weight". */
  readonly label: string;
  /** Number of the slice's first row in what the label names, for messages. */
  readonly firstRow: number;
  readonly sourceType: TypeName;
  readonly targetType: TypeName;
  /** Weights per row. */
  readonly columns: number;
  /** Whole rows in the source type. */
  readonly source: Uint8Array;
  /** One value per column, finite and not negative; undefined or all zero: all columns matter alike. */
  readonly importance?: SharedInput | undefined;
  readonly effort: Effort;
  /** Second moments of the input, for output-aware encoding; undefined: importance alone decides. */
  readonly moments?: InputMoments | undefined;
  /** Whether to measure what `moments` say of the outputs' errors. */
  readonly measureOutputs?: boolean;
  /** Rows in the target type that were encoded before: they are compared with the source, not encoded anew. */
  readonly encoded?: Uint8Array | undefined;
  /** Where the source's rows were read. */
  readonly origin?: RowOrigin | undefined;
}

/** Rows of a tensor of a model, for machines that can read them there themselves. */
export interface RowOrigin {
  /** Path or address of the model, as it may be shown. */
  readonly model: string;
  readonly tensor: string;
  readonly shape: readonly number[];
  /** Counted through all outer dimensions. */
  readonly firstRow: number;
  readonly rows: number;
}

export interface Transcoded {
  /** The rows in the target type. The source's own array if both types are the same. */
  readonly bytes: Uint8Array;
  /** Of all rows; empty if both types are the same. */
  readonly statistics: Statistics;
  /** The row that lost most, counted like `firstRow`; undefined if both types are the same. */
  readonly worst?: RowError;
  /** If asked for, and if the type has an output-aware encoder. */
  readonly outputs?: OutputErrors;
}

/** Weighted squared error of a row as a share of its own weighted sum of squares. */
export interface RowError {
  readonly row: number;
  readonly relativeError: number;
}

/**
 * Weights handled at a time: all buffers of a batch stay in the second-level cache of one core. A row is never
 * divided. The size does not show in the result.
 */
const batchWeights = 16384;

/** With moments, rows that are handled at a time at least: they share the reading of large matrices. */
const batchRowsWithMoments = 32;

/**
 * Transcodes a slice; rows whose type stays are copied, but looked at all the same. Throws a MalformedInputError that
 * names the row for a weight that is not finite or too large for the target type, and one that names the column for an importance that is not a number from 0 up.
 */
export function transcode(slice: Slice, workspace: Workspace): Transcoded {
  const { sourceType, targetType, columns, source } = slice;
  const sourceRow = rowBytes(sourceType, columns);
  if (sourceRow === 0 || source.byteLength % sourceRow !== 0) {
    throw new InternalError(
      `${slice.label}: a slice of ${source.byteLength} bytes is not whole rows of ${sourceRow} bytes.`,
    );
  }
  if (sourceType === targetType && !slice.encoded) {
    checkFinite(slice, workspace);
    return { bytes: source, statistics: noStatistics };
  }

  const rows = source.byteLength / sourceRow;
  const targetRow = rowBytes(targetType, columns);
  const moments = isRefinable(targetType, columns) && !slice.encoded ? slice.moments : undefined;
  const batchRows = Math.min(rows, Math.max(moments ? batchRowsWithMoments : 1, batchRowsOf(rows, columns)));
  const columnImportance = slice.importance?.values;
  const scale = importanceScale(slice, columnImportance);
  workspace.arrange(columns, batchRows, sourceRow, targetRow);
  setImportance(workspace.importance, columnImportance, scale);
  const importance = scale > 0 ? workspace.importance : undefined;

  const bytes = slice.encoded ?? new Uint8Array(rows * targetRow);
  if (bytes.byteLength !== rows * targetRow) {
    throw new InternalError(
      `${slice.label}: ${rows} rows in ${bytes.byteLength} bytes are not ${targetType}.`,
    );
  }
  const total = { weights: rows * columns, energy: 0, loss: 0, error: 0, vanishedRows: 0 };
  let outputs: OutputErrors | undefined = moments && slice.measureOutputs ? noOutputErrors : undefined;
  let worst: RowError = { row: slice.firstRow, relativeError: 0 };
  for (let first = 0; first < rows; first += batchRows) {
    const count = Math.min(batchRows, rows - first);
    const stored = workspace.source.subarray(0, count * sourceRow);
    const weights = workspace.weights.subarray(0, count * columns);
    const encoded = workspace.encoded.subarray(0, count * targetRow);
    const decoded = workspace.decoded.subarray(0, count * columns);

    stored.set(source.subarray(first * sourceRow, first * sourceRow + stored.byteLength));
    workspace.decode(sourceType, stored, weights);
    if (!workspace.isFinite(weights)) {
      throw notFinite(slice, first, weights);
    }
    if (slice.encoded) {
      encoded.set(bytes.subarray(first * targetRow, first * targetRow + encoded.byteLength));
    } else {
      workspace.encode(targetType, weights, columns, importance, slice.effort, encoded);
    }
    workspace.decode(targetType, encoded, decoded);
    if (moments) {
      workspace.refiner.refine(targetType, columns, moments, weights, decoded, encoded);
      workspace.decode(targetType, encoded, decoded);
    }
    outputs &&= workspace.refiner.addOutputErrors(outputs, weights, decoded);
    if (!slice.encoded) {
      bytes.set(encoded, first * targetRow);
    }

    workspace.measure(weights, decoded, columns);
    for (let row = 0; row < count; row++) {
      const energy = workspace.sums[3 * row]!;
      const loss = workspace.sums[3 * row + 1]!;
      const error = workspace.sums[3 * row + 2]!;
      if (!Number.isFinite(error)) {
        throw tooLarge(slice, first + row);
      }
      if (energy > 0 && loss === energy && error === energy) {
        total.vanishedRows++;
      }
      const relativeError = energy > 0 ? error / energy : error > 0 ? Infinity : 0;
      if (relativeError > worst.relativeError) {
        worst = { row: slice.firstRow + first + row, relativeError };
      }
      total.energy += energy;
      total.loss += loss;
      total.error += error;
    }
  }
  if (scale > 0) {
    total.energy /= scale;
    total.loss /= scale;
    total.error /= scale;
  }
  return { bytes, statistics: total, worst, ...(outputs && { outputs }) };
}

/** Throws a MalformedInputError if a weight is not finite, as far as the type can be decoded. */
function checkFinite(slice: Slice, workspace: Workspace): void {
  if (traitsOf(slice.sourceType).canDecode) {
    decodeFinite(slice, workspace, () => {});
  }
}

/**
 * Decodes a slice's rows batch by batch, each of which is gone with the next. Throws a MalformedInputError that names
 * the row of a weight that is not finite.
 */
export function decodeFinite(
  slice: Pick<Slice, "label" | "firstRow" | "sourceType" | "columns" | "source">,
  workspace: Workspace,
  take: (weights: Float32Array) => void,
): void {
  const { sourceType, columns, source } = slice;
  const stride = rowBytes(sourceType, columns);
  const rows = source.byteLength / stride;
  const batchRows = batchRowsOf(rows, columns);
  workspace.arrange(columns, batchRows, stride, 0);
  for (let first = 0; first < rows; first += batchRows) {
    const count = Math.min(batchRows, rows - first);
    const stored = workspace.source.subarray(0, count * stride);
    const weights = workspace.weights.subarray(0, count * columns);
    stored.set(source.subarray(first * stride, first * stride + stored.byteLength));
    workspace.decode(sourceType, stored, weights);
    if (!workspace.isFinite(weights)) {
      throw notFinite(slice, first, weights);
    }
    take(weights);
  }
}

/** Rows of a batch. */
function batchRowsOf(rows: number, columns: number): number {
  return Math.min(rows, Math.max(1, Math.floor(batchWeights / columns)));
}

/**
 * The power of two that brings the largest importance into [1, 2), so that encoders need not fear tiny or huge
 * ones; 0 if no column has any importance. Throws if a value is not a number from 0 up.
 */
function importanceScale({ columns, label }: Slice, importance: Float32Array | undefined): number {
  if (!importance) {
    return 0;
  }
  if (importance.length !== columns) {
    throw new InternalError(`${label}: ${importance.length} importance values for ${columns} columns.`);
  }
  let largest = 0;
  for (let column = 0; column < columns; column++) {
    const value = importance[column]!;
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) {
      throw new MalformedInputError(
        `${label}: the importance of column ${column} is ${value}, but must be a finite number of at least 0. The imatrix is damaged; make it again.`,
      );
    }
    if (value > largest) {
      largest = value;
    }
  }
  return largest === 0 ? 0 : 2 ** -Math.floor(Math.log2(largest));
}

/** Writes the scaled importance; all 1 if no column has any. */
function setImportance(out: Float32Array, importance: Float32Array | undefined, scale: number): void {
  if (!importance || scale === 0) {
    out.fill(1);
  } else {
    for (let column = 0; column < out.length; column++) {
      out[column] = importance[column]! * scale;
    }
  }
}

/** The error for a batch that begins `firstRow` rows after the slice and has a weight that is not finite. */
function notFinite(
  slice: Pick<Slice, "label" | "firstRow" | "columns">,
  firstRow: number,
  weights: Float32Array,
): MalformedInputError {
  const at = weights.findIndex((weight) => !Number.isFinite(weight));
  const row = slice.firstRow + firstRow + Math.floor(at / slice.columns);
  const column = at % slice.columns;
  return new MalformedInputError(
    `${slice.label}: row ${row} has the weight ${weights[at]} at column ${column}. The file is damaged; download or convert it again.`,
    { row, column },
  );
}

function tooLarge(slice: Slice, row: number): MalformedInputError {
  return new MalformedInputError(
    `${slice.label}: row ${slice.firstRow + row} has weights too large for ${slice.targetType}; store this tensor as F32 or BF16.`,
    { row: slice.firstRow + row },
  );
}
