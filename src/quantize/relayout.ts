/**
 * `relayout`: another arrangement of the same weights. llama.cpp's names and keys change; the blocks, which are nearly
 * all of a file, are copied as they are.
 */
import { inOrder } from "../bytes/bounded-pipeline.js";
import { claimOutput } from "../bytes/leftovers.js";
import type { FileLock } from "../bytes/lock.js";
import { OutputFile } from "../bytes/output.js";
import { checkOutputs } from "../bytes/overwriting.js";
import { UsageError } from "../errors.js";
import { openModel } from "../model/open.js";
import { type ModelSource, rowCount, type SourceTensor } from "../model/source.js";
import { rowBytes } from "../quants/types.js";
import { checkOverrides, parseOverrides } from "../write/output-metadata.js";
import { type PlannedFile, planOutput } from "../write/output-plan.js";
import { type RelayoutOptions, relayoutCommand } from "./relayout-command.js";
import { inGateAndUpForm } from "./relayout-experts.js";
import { changedMetadata } from "./relayout-metadata.js";
import { droppedTensors, renamedTensors } from "./relayout-tensors.js";

/** Bytes read and written at once; memory for more comes new from the system each time, which takes longer than reading. */
const pieceBytes = 2 * 2 ** 20;

/** Pieces on their way between the files. */
const piecesInFlight = 4;

export interface RelayoutResult {
  /** The file to open: the only one, or the first of a set. */
  readonly output: string;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly bytes: number;
  readonly tensors: number;
  /** Tensors with another name. */
  readonly renamed: number;
  readonly dropped: readonly string[];
  readonly seconds: number;
}

/**
 * Writes a model's tensors and metadata in another arrangement. Blocks are not looked at: `verify` does that.
 * Throws a UsageError for a change that finds nothing to change, for names that would stand twice, for a folder
 * (`convert` reads those), and where an output would be an input; errors of reading and writing otherwise.
 */
export async function relayout(given: RelayoutOptions): Promise<RelayoutResult> {
  const started = performance.now();
  const options = relayoutCommand.read(given);
  const source = await openModel(options.model, { signal: options.signal });
  try {
    const { kept, dropped } = droppedTensors(inGateAndUpForm(checkGguf(source), options), options.drop ?? []);
    const tensors = renamedTensors(kept, options.rename ?? []);
    const overrides = parseOverrides(options.overrideKv ?? []);
    checkOverrides(overrides, source.metadata);
    const metadata = changedMetadata(source.metadata, { ...options, overrides });
    const plan = planOutput({
      source,
      output: options.output,
      splitMaxSize: options.splitMaxSize,
      ownShard: options.ownShard,
      tensors: tensors.map((tensor) => ({ source: tensor, type: tensor.type })),
      metadata: () => metadata,
    });
    await checkOutputs(
      plan.map(({ path }) => path),
      source.files.map(({ name }) => name),
    );
    await writeFiles(plan, options);
    const files = plan.map(({ path, layout }) => ({ path, bytes: layout.byteLength }));
    return {
      output: files[0]?.path ?? options.output,
      files,
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      tensors: tensors.length,
      renamed: tensors.filter(({ name }, index) => name !== kept[index]?.name).length,
      dropped: dropped.map(({ name }) => name),
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await source.close();
  }
}

/** A folder's tensors are not laid out as llama.cpp wants them. */
function checkGguf(source: ModelSource): ModelSource {
  if ("conversionType" in source) {
    throw new UsageError(
      `${source.name}: is a Hugging Face folder; make a GGUF file of it with convert first.`,
      {
        model: source.name,
      },
    );
  }
  return source;
}

/** Writes all files under other names; they get theirs together, of a set the first one last. */
async function writeFiles(
  plan: readonly PlannedFile[],
  { onProgress, signal }: Pick<RelayoutOptions, "onProgress" | "signal">,
): Promise<void> {
  const copied = plan.flatMap(({ layout }) => layout.tensors);
  const total = copied.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let done = 0;
  const opened: OutputFile[] = [];
  const locks: FileLock[] = [];
  try {
    for (const { path } of plan) {
      locks.push(await claimOutput(path));
    }
    for (const { path, layout } of plan) {
      opened.push(await OutputFile.create(path, layout.byteLength));
    }
    for (const [index, planned] of plan.entries()) {
      const file = opened[index];
      await file?.write(0, planned.header([]));
      await inOrder(
        pieces(planned),
        { limit: piecesInFlight, signal },
        ({ tensor, first, count }) => tensor.readRows(first, count),
        async ({ tensor, offset }, bytes) => {
          await file?.write(offset, bytes);
          done += bytes.byteLength;
          onProgress?.({ step: "copy", done, total, unit: "bytes", detail: tensor.name });
        },
      );
    }
    for (const file of opened.toReversed()) {
      await file.commit();
    }
  } finally {
    await Promise.all(opened.map((file) => file.discard()));
    await Promise.all(locks.map((lock) => lock.release()));
  }
}

/** Some rows of a tensor and where they go. */
interface Piece {
  readonly tensor: SourceTensor;
  readonly first: number;
  readonly count: number;
  readonly offset: number;
}

function* pieces({ tensors, layout }: PlannedFile): Generator<Piece> {
  for (const [index, { source: tensor }] of tensors.entries()) {
    const bytesPerRow = rowBytes(tensor.type, tensor.shape[0] ?? 1);
    const rows = rowCount(tensor.shape);
    const step = Math.max(1, Math.floor(pieceBytes / bytesPerRow));
    const begin = layout.tensors[index]?.offset ?? 0;
    for (let first = 0; first < rows; first += step) {
      const count = Math.min(step, rows - first);
      yield { tensor, first, count, offset: begin + first * bytesPerRow };
    }
  }
}
