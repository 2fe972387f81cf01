/** `verify`: is a model whole, does every block decode, and does it stand for its source? */

import { availableParallelism } from "node:os";
import { shownAddress } from "../bytes/address.js";
import { inOrder } from "../bytes/bounded-pipeline.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { checkInstalled } from "../engine/library.js";
import { MalformedInputError, UsageError } from "../errors.js";
import { openModel } from "../model/open.js";
import { paddedLike } from "../model/padded-experts.js";
import { partLike } from "../model/prediction-layers.js";
import { prunedLike } from "../model/pruned-experts.js";
import { type ModelSource, rowCount, type SourceTensor, weightCount } from "../model/source.js";
import { EncoderPool } from "../quants/pool.js";
import { addStatistics, gain, noStatistics, relativeError, type Statistics } from "../quants/statistics.js";
import type { Transcoded } from "../quants/transcode.js";
import { rowBytes, type TypeName, traitsOf } from "../quants/types.js";
import { labelOf, type SliceRange, sampledSlicesOf, slicesOf } from "../write/slices.js";
import { tryNamed } from "./try-written.js";
import { type VerifyOptions, verifyCommand } from "./verify-command.js";

/** Blocks of one matrix in which all weights are zero. */
export interface ZeroBlocks {
  readonly tensor: string;
  /** Absent for tensors that are a single matrix. */
  readonly expert?: number;
  readonly type: TypeName;
  /** Of the matrix; for types without scales, rows. */
  readonly blocks: number;
  readonly zeroBlocks: number;
}

/** How well a sample of a tensor's rows stands for the source's. */
export interface ComparedTensor {
  readonly name: string;
  readonly from: TypeName;
  readonly to: TypeName;
  /** Rows compared. */
  readonly rows: number;
  /** Squared error as a share of the source's sum of squares; columns count alike. */
  readonly relativeError: number;
  /** <W,Q>/<W,W>: 1 if the encoding neither shrinks nor inflates. */
  readonly gain: number;
}

export interface VerifyResult {
  readonly model: string;
  /** Of all files. */
  readonly bytes: number;
  readonly tensors: number;
  /** Weights that were decoded. */
  readonly weights: number;
  /** Tensors of types that cannot be decoded, and so were not looked into. */
  readonly unchecked: readonly string[];
  readonly zeroBlocks: readonly ZeroBlocks[];
  /** Only with a source. */
  readonly compared?: readonly ComparedTensor[];
  /** Whether llama.cpp decoded some tokens of it; only with `decode`. */
  readonly runs?: boolean;
  /** Why it did not. */
  readonly runProblem?: string;
  readonly seconds: number;
  readonly bytesPerSecond: number;
}

interface TensorSlice {
  readonly tensor: SourceTensor;
  /** Which of the list the tensor is. */
  readonly index: number;
  readonly slice: SliceRange;
}

/** Fits an encoding of any kind: unrelated rows of the same size have 2. */
const mostRowError = 1.5;

/**
 * Checks a model's headers and all its blocks, and with a source compares a sample of rows. Throws a
 * MalformedInputError that names tensor, expert and row of the first defect; a UsageError if the source is not
 * of the same shape; see `openModel`.
 */
export async function verify(given: VerifyOptions): Promise<VerifyResult> {
  const options = verifyCommand.read(given);
  const started = performance.now();
  if (options.decode) {
    checkInstalled();
  }
  const threads = options.threads ?? availableParallelism();
  const model = await openModel(options.model, { signal: options.signal });
  const pool = new EncoderPool(threads, options.onWarning);
  try {
    const context = { ...options, pool, limit: 3 * Math.max(1, threads) };
    const zeroBlocks = await surveyAll(model, context);
    const compared =
      options.source === undefined ? undefined : await compareWith(options.source, model, context);
    const tried = options.decode ? await tryNamed(options.model, options) : {};
    const seconds = (performance.now() - started) / 1000;
    const checked = model.tensors.filter(({ type }) => traitsOf(type).canDecode);
    return {
      model: shownAddress(options.model),
      bytes: model.byteLength,
      tensors: model.tensors.length,
      weights: sum(checked.map(({ shape }) => weightCount(shape))),
      unchecked: model.tensors.filter((tensor) => !checked.includes(tensor)).map(({ name }) => name),
      zeroBlocks,
      ...(compared && { compared }),
      ...tried,
      seconds,
      bytesPerSecond: model.byteLength / seconds,
    };
  } finally {
    await pool.close();
    await model.close();
  }
}

interface Context extends ResolvedOptionsOf<typeof verifyCommand> {
  readonly pool: EncoderPool;
  readonly limit: number;
}

/** Decodes everything; returns the matrices that have zero blocks. */
async function surveyAll(model: ModelSource, context: Context): Promise<ZeroBlocks[]> {
  const tensors = model.tensors.filter(({ type }) => traitsOf(type).canDecode);
  const total = sum(tensors.map(storedBytes));
  const found = new Map<string, ZeroBlocks>();
  let done = 0;
  const begin = async (item: TensorSlice) => await context.pool.survey(await storedSlice(model, item));
  await inOrder(allSlices(tensors, slicesOf), context, begin, ({ tensor, slice }, { blocks, zeroBlocks }) => {
    const label = labelOf(tensor, slice);
    const before = found.get(label) ?? { blocks: 0, zeroBlocks: 0 };
    found.set(label, {
      tensor: tensor.name,
      ...(tensor.shape.length > 2 && { expert: slice.expert }),
      type: tensor.type,
      blocks: before.blocks + blocks,
      zeroBlocks: before.zeroBlocks + zeroBlocks,
    });
    done += slice.rows * rowBytes(tensor.type, tensor.shape[0] ?? 1);
    context.onProgress?.({ step: "verify", done, total, unit: "bytes", detail: tensor.name });
  });
  return [...found.values()].filter(({ zeroBlocks }) => zeroBlocks > 0);
}

/** Compares a sample of rows of every tensor. */
async function compareWith(path: string, model: ModelSource, context: Context): Promise<ComparedTensor[]> {
  const opened = await openModel(path, { signal: context.signal });
  try {
    const source = paddedLike(prunedLike(partLike(opened, model), model), model);
    const originals = new Map(source.tensors.map((tensor) => [tensor.name, tensor]));
    checkSameTensors(model, source, originals);
    const tensors = model.tensors.filter(({ name, type }) => {
      const from = originals.get(name)?.type ?? type;
      return from === type || (traitsOf(type).canDecode && traitsOf(from).canDecode);
    });
    const sums = new Map<string, Statistics & { rows: number }>();
    await inOrder(
      allSlices(tensors, sampledSlicesOf),
      context,
      async (item) =>
        await compareSlice(model, item, originals.get(item.tensor.name) ?? item.tensor, context),
      ({ tensor, index, slice }, statistics) => {
        const before = sums.get(tensor.name) ?? { ...noStatistics, rows: 0 };
        sums.set(tensor.name, { ...addStatistics(before, statistics), rows: before.rows + slice.rows });
        const done = index + 1;
        const total = tensors.length;
        context.onProgress?.({ step: "compare", done, total, unit: "tensors", detail: tensor.name });
      },
    );
    return tensors.map(({ name, type }) => {
      const statistics = sums.get(name) ?? { ...noStatistics, rows: 0 };
      return {
        name,
        from: originals.get(name)?.type ?? type,
        to: type,
        rows: statistics.rows,
        relativeError: relativeError(statistics),
        gain: gain(statistics),
      };
    });
  } finally {
    await opened.close();
  }
}

function checkSameTensors(
  model: ModelSource,
  source: ModelSource,
  originals: ReadonlyMap<string, SourceTensor>,
): void {
  for (const { name, shape } of model.tensors) {
    const original = originals.get(name);
    if (original?.shape.join() === shape.join()) {
      continue;
    }
    const problem = original
      ? `has the shape [${original.shape.join(", ")}] in ${source.name} and [${shape.join(", ")}] in ${model.name}`
      : `is in ${model.name} but not in ${source.name}`;
    throw new UsageError(`${name} ${problem}; name the model that it was made from.`, { tensor: name });
  }
  const names = new Set(model.tensors.map(({ name }) => name));
  const missing = source.tensors.find(({ name }) => !names.has(name));
  if (missing === undefined) {
    return;
  }
  throw new MalformedInputError(
    `${model.name}: lacks the tensor ${missing.name} of its source ${source.name}; write it again.`,
    { file: model.name, tensor: missing.name },
  );
}

async function compareSlice(
  model: ModelSource,
  item: TensorSlice,
  original: SourceTensor,
  { pool, onWarning }: Context,
): Promise<Statistics> {
  const stored = await storedSlice(model, item);
  const source = await original.readRows(item.slice.firstRow, item.slice.rows);
  if (original.type === stored.sourceType && Buffer.compare(source, stored.source) === 0) {
    return noStatistics;
  }
  const types = { sourceType: original.type, targetType: stored.sourceType };
  const encoded = stored.source;
  const { statistics, worst } = await pool.transcode({
    ...stored,
    ...types,
    source,
    encoded,
    effort: "default",
  });
  checkRows(stored.label, worst);
  const { vanishedRows } = statistics;
  if (vanishedRows > 0) {
    // Weights too small for the type's scales vanish in any encoding; others were lost.
    const rows = await original.readRows(item.slice.firstRow, item.slice.rows);
    const again = await pool.transcode({ ...stored, ...types, source: rows, effort: "fast" });
    const problem = `${stored.label}: ${vanishedRows} rows are all zero, and the source's are not`;
    if (again.statistics.vanishedRows < vanishedRows) {
      throw new MalformedInputError(`${problem}. Write the model again.`);
    }
    onWarning?.(`${problem}: their weights are too small for the scales of ${types.targetType}.`);
  }
  return statistics;
}

function checkRows(label: string, worst: Transcoded["worst"]): void {
  if (worst === undefined || worst.relativeError <= mostRowError) {
    return;
  }
  const { row, relativeError: error } = worst;
  throw new MalformedInputError(
    `${label}: row ${row} has nothing to do with the source's: the relative error is ${error.toFixed(2)}. Write the model again.`,
    { row },
  );
}

async function storedSlice(model: ModelSource, { tensor, slice }: TensorSlice) {
  return {
    label: `${model.name}: ${labelOf(tensor, slice)}`,
    firstRow: slice.firstRow - slice.expert * (tensor.shape[1] ?? 1),
    sourceType: tensor.type,
    columns: tensor.shape[0] ?? 1,
    source: await tensor.readRows(slice.firstRow, slice.rows),
  };
}

function* allSlices(
  tensors: readonly SourceTensor[],
  slices: (shape: readonly number[], index: number) => Iterable<SliceRange>,
): Generator<TensorSlice> {
  for (const [index, tensor] of tensors.entries()) {
    for (const slice of slices(tensor.shape, index)) {
      yield { tensor, index, slice };
    }
  }
}

function storedBytes({ type, shape }: SourceTensor): number {
  return rowCount(shape) * rowBytes(type, shape[0] ?? 1);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
