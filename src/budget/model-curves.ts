/** Measures the error curves of a model's tensors with all threads, and keeps what was measured. */
import { availableParallelism } from "node:os";
import { writeTextFile } from "../bytes/atomic-write.js";
import { UsageError } from "../errors.js";
import type { Imatrix } from "../imatrix/imatrix.js";
import { importanceFor, loadImportance } from "../imatrix/load-importance.js";
import { openModel } from "../model/open.js";
import type { ModelSource, SourceTensor } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import { encoderEffort } from "../quantize/effort-options.js";
import { type InputFiles, InputStatistics } from "../quantize/input-statistics.js";
import type { RequestedEffort } from "../quantize/quantize-command.js";
import { EncoderPool } from "../quants/pool.js";
import { version } from "../version.js";
import { renderCurves } from "./curves-file.js";
import { type MeasuredCurves, measureCurves } from "./error-curves.js";
import { ErrorCache, errorsPath } from "./measurement-cache.js";
import { modelFingerprint } from "./model-fingerprint.js";
import { type Item, itemsOf } from "./problem.js";

/** With what `quantize --effort max` will know of the inputs. */
export interface ModelCurvesOptions extends InputFiles {
  /** Folder of a cache, where errors are kept unless a file for them is named. */
  readonly cache?: string | undefined;
  readonly priorWeight?: number | undefined;
  readonly effort: RequestedEffort;
  /** Tensors of the model as its statistics were collected, if others are measured: experts were padded since. */
  readonly collected?: readonly SourceTensor[] | undefined;
  /** Where errors that were measured are kept; in the user's cache folder by default. */
  readonly errors?: string | undefined;
  readonly threads?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The curves of all tensors that have a choice. Errors: see `measureCurves`. */
export async function curvesOf(
  source: ModelSource,
  items: readonly Item<SourceTensor>[],
  imatrix: Imatrix | undefined,
  fingerprint: string,
  options: ModelCurvesOptions,
): Promise<MeasuredCurves> {
  const tasks = items.flatMap(({ tensors, types }) => tensors.map((tensor) => ({ tensor, types })));
  const open = tasks.filter(({ types }) => types.length > 1);
  const inputs = await InputStatistics.open(options, options.collected ?? source.tensors, source.tensors);
  const cache = await ErrorCache.open(options.errors ?? errorsPath(fingerprint, options.cache));
  const pool = new EncoderPool(options.threads ?? availableParallelism(), options.onWarning);
  try {
    return await measureCurves(open, imatrix, pool, cache, {
      ...options,
      effort: encoderEffort(options),
      inputs,
    });
  } finally {
    await inputs?.close();
    await pool.close();
    await cache.close();
  }
}

/** Whether an importance matrix knows a tensor. */
export function withImportance(
  { tensors }: ModelSource,
  imatrix: Imatrix,
  options: Pick<ModelCurvesOptions, "priorWeight">,
): (name: string) => boolean {
  const known = tensors.filter((tensor) => importanceFor(imatrix, tensor, options));
  const names = new Set(known.map(({ name }) => name));
  return (name) => names.has(name);
}

/** Curves, and what they were measured on. */
export interface CurvesOfModel extends MeasuredCurves {
  readonly source: ModelSource;
  readonly imatrix: Imatrix | undefined;
  readonly fingerprint: string;
}

/** Writes curves to a file. Throws a UsageError if nothing was measured because the model has no weights. */
export async function writeCurves(
  path: string,
  { source, imatrix, fingerprint, curves, isMeasured }: CurvesOfModel,
  { effort }: Pick<ModelCurvesOptions, "effort">,
): Promise<void> {
  if (!isMeasured) {
    throw new UsageError(
      `${source.name}: has no weights, so that no errors can be measured; leave out \`curves\`.`,
    );
  }
  const file = { version, model: source.name, imatrix: imatrix?.name, effort, fingerprint, curves };
  await writeTextFile(path, renderCurves(file));
}

/** Measures every type that the tensors of `model` may have, and writes the curves to `output`. */
export async function measureModelCurves(
  options: ModelCurvesOptions & {
    readonly model: string;
    readonly imatrix: string;
    readonly output: string;
  },
): Promise<void> {
  const source = await openModel(options.model, { signal: options.signal });
  try {
    const imatrix = await loadImportance(options, source.tensors);
    const fingerprint = await modelFingerprint(source);
    const hasImportance = imatrix && withImportance(source, imatrix, options);
    const items = itemsOf(source.tensors, { limits: [], tied: [], hasImportance });
    const measured = await curvesOf(source, items, imatrix, fingerprint, options);
    await writeCurves(options.output, { ...measured, source, imatrix, fingerprint }, options);
  } finally {
    await source.close();
  }
}
