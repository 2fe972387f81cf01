/**
 * What each type would do to each tensor: the importance-weighted relative error of its output, measured on a sample
 * of rows of every expert. An expert counts by its share of the routed tokens: the squared error of a layer's output
 * over a text is the sum over experts of tokens seen times mean squared error.
 *
 * With second moments the encoder lets errors cancel in the outputs. Then the error is e H e^T over sum H_ii w_i^2:
 * for errors that do not know of each other, as `sensitivity` makes them, that is the importance-weighted one.
 */
import { createHash } from "node:crypto";
import { CancelledError } from "../errors.js";
import type { Imatrix } from "../imatrix/imatrix.js";
import { type ImportanceOptions, importanceFor } from "../imatrix/load-importance.js";
import { expertShares } from "../imatrix/rare-experts.js";
import { rowCount, type SourceTensor } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import type { InputStatistics } from "../quantize/input-statistics.js";
import type { Effort } from "../quants/effort.js";
import { encoderSignature } from "../quants/encoder-signature.js";
import { contentOf, type InputMoments, type OutputErrors } from "../quants/output-aware/refine.js";
import { type SharedInput, sharedInput } from "../quants/shared-input.js";
import {
  addStatistics,
  noStatistics,
  relativeError,
  type Statistics,
  weightedStatistics,
} from "../quants/statistics.js";
import type { Transcoder } from "../quants/transcoder.js";
import { rowBytes, type TypeName } from "../quants/types.js";
import type { ErrorCache } from "./measurement-cache.js";
import { type ErrorCurve, typicalCurve } from "./typical-curves.js";

/** A tensor and the types to try on it. */
export interface CurveTask {
  readonly tensor: SourceTensor;
  readonly types: readonly TypeName[];
}

export interface CurveOptions extends ImportanceOptions {
  readonly effort: Effort;
  /** What `quantize --effort max` will know of the inputs. */
  readonly inputs?: InputStatistics | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MeasuredCurves {
  /** By tensor name. */
  readonly curves: ReadonlyMap<string, ErrorCurve>;
  /** Whether there were weights to measure; otherwise the errors are typical ones. */
  readonly isMeasured: boolean;
}

/** Weights sampled of each tensor: the errors of its rows differ by some percent, and there are hundreds. */
const sampledWeights = 1 << 18;

/** Experts sampled where each has moments of its own: to factorize them takes longer than to encode the sample. */
const sampledExperts = 16;

/** Measures all tensors; what the cache knows is not measured again. A header without weights has typical errors. */
export async function measureCurves(
  tasks: readonly CurveTask[],
  imatrix: Imatrix | undefined,
  pool: Transcoder,
  cache: ErrorCache,
  options: CurveOptions,
): Promise<MeasuredCurves> {
  const curves = new Map<string, ErrorCurve>();
  if (await isHeaderOnly(tasks)) {
    for (const { tensor, types } of tasks) {
      curves.set(tensor.name, typicalCurve(types, tensor.type));
    }
    return { curves, isMeasured: false };
  }
  for (const [done, { tensor, types }] of tasks.entries()) {
    if (options.signal?.aborted) {
      throw new CancelledError(
        "stopped; the errors measured so far are kept and will not be measured again.",
      );
    }
    options.onProgress?.({
      step: "errors",
      done,
      total: tasks.length,
      unit: "tensors",
      detail: tensor.name,
    });
    const sample = await readSample(tensor, imatrix, options);
    curves.set(tensor.name, await measureCurve(tensor, types, sample, pool, cache, options));
  }
  options.onProgress?.({ step: "errors", done: tasks.length, total: tasks.length, unit: "tensors" });
  return { curves, isMeasured: true };
}

/** Whether the weights are a hole in a file: the middle row of every tensor is all zero. */
async function isHeaderOnly(tasks: readonly CurveTask[]): Promise<boolean> {
  for (const { tensor } of tasks) {
    const row = await tensor.readRows(Math.floor(rowCount(tensor.shape) / 2), 1);
    if (row.some((byte) => byte !== 0)) {
      return false;
    }
  }
  return true;
}

/** Rows of one expert, or of a tensor without experts. */
interface SamplePart {
  readonly expert: number;
  readonly rows: Uint8Array;
  readonly importance: SharedInput | undefined;
  readonly moments: InputMoments | undefined;
  /** Its share of the tokens, up to a factor that all experts have in common. */
  readonly share: number;
}

/** Reads the same rows every time: evenly spread over each expert, as many of each. */
async function readSample(
  tensor: SourceTensor,
  imatrix: Imatrix | undefined,
  options: CurveOptions,
): Promise<SamplePart[]> {
  const [columns = 1, rowsPerMatrix = 1] = tensor.shape;
  const matrices = rowCount(tensor.shape) / rowsPerMatrix;
  const importance = imatrix && importanceFor(imatrix, tensor, options);
  const shares = expertShares(imatrix, importance, matrices);
  const momentsOf = options.inputs?.forEncoding(tensor);
  const stride = momentsOf?.isPerExpert ? Math.ceil(matrices / sampledExperts) : 1;
  const sampled = Math.ceil(matrices / stride);
  const wanted = Math.min(rowsPerMatrix, Math.max(1, Math.ceil(sampledWeights / (columns * sampled))));
  const parts: SamplePart[] = [];
  for (let expert = 0; expert < matrices; expert += stride) {
    const rows = await readSpreadRows(tensor, expert * rowsPerMatrix, rowsPerMatrix, wanted);
    const share = shares[expert] ?? 1;
    const moments = await momentsOf?.read(expert);
    const values = importance?.experts[expert];
    parts.push({ expert, rows, importance: values && sharedInput(values), moments, share });
  }
  return parts;
}

/** A matrix of so many bytes is read at once: to read its rows one by one takes longer. */
const readAtOnce = 1 << 20;

/** As many as are wanted of a matrix's rows, evenly spread. */
async function readSpreadRows(
  tensor: SourceTensor,
  first: number,
  count: number,
  wanted: number,
): Promise<Uint8Array> {
  const stride = rowBytes(tensor.type, tensor.shape[0] ?? 1);
  const all = count * stride <= readAtOnce ? await tensor.readRows(first, count) : undefined;
  const rows = new Uint8Array(wanted * stride);
  for (let i = 0; i < wanted; i++) {
    const row = Math.floor(((i + 0.5) * count) / wanted);
    const bytes = all?.subarray(row * stride, (row + 1) * stride) ?? (await tensor.readRows(first + row, 1));
    rows.set(bytes, i * stride);
  }
  return rows;
}

async function measureCurve(
  tensor: SourceTensor,
  types: readonly TypeName[],
  sample: readonly SamplePart[],
  pool: Transcoder,
  cache: ErrorCache,
  { effort }: CurveOptions,
): Promise<ErrorCurve> {
  const content = sampleHash(tensor, sample);
  const measured = new Map<string, number>();
  const errors = await Promise.all(
    types.map(async (type): Promise<[TypeName, number]> => {
      if (type === tensor.type) {
        return [type, 0];
      }
      const signature = await encoderSignature(
        pool,
        type,
        effort,
        sample.some(({ moments }) => moments !== undefined),
      );
      const key = createHash("sha256").update(`${content} ${signature}`).digest("hex").slice(0, 40);
      const known = cache.get(key);
      if (known !== undefined) {
        return [type, known];
      }
      const error = await measureType(tensor, type, sample, pool, effort);
      measured.set(key, error);
      return [type, error];
    }),
  );
  await cache.add(measured);
  return new Map(errors);
}

async function measureType(
  tensor: SourceTensor,
  type: TypeName,
  parts: readonly SamplePart[],
  pool: Transcoder,
  effort: Effort,
): Promise<number> {
  const outcomes = await Promise.all(
    parts.map(async ({ rows, importance, moments, expert, share }) => {
      const { statistics, outputs } = await pool.transcode({
        label: parts.length > 1 ? `${tensor.name}, expert ${expert}` : tensor.name,
        firstRow: 0,
        sourceType: tensor.type,
        targetType: type,
        columns: tensor.shape[0] ?? 1,
        source: rows.slice(),
        importance,
        effort,
        moments,
        measureOutputs: moments !== undefined,
      });
      return weightedStatistics(outputs ? asOutputErrors(statistics, outputs) : statistics, share);
    }),
  );
  return relativeError(outcomes.reduce(addStatistics, noStatistics));
}

/** Moments have a scale of their own: the energy that all experts' errors refer to stays that of the importance. */
function asOutputErrors(statistics: Statistics, { energy, error }: OutputErrors): Statistics {
  return energy > 0 ? { ...statistics, error: (statistics.energy * error) / energy } : statistics;
}

/** Stands for all that decides a sample's errors besides the type. */
function sampleHash({ type, shape }: SourceTensor, parts: readonly SamplePart[]): string {
  const hash = createHash("sha256").update(`${type} ${shape[0]}`);
  for (const { rows, importance, moments, share } of parts) {
    hash.update(`${share} `).update(rows);
    for (const content of [importance?.sha256, moments && contentOf(moments)]) {
      if (content !== undefined) {
        hash.update(content);
      }
    }
  }
  return hash.digest("hex");
}
