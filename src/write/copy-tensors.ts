/** Writes models whose tensors keep their types: rows are read and written as they are. */
import { inOrder } from "../bytes/bounded-pipeline.js";
import { claimOutput } from "../bytes/leftovers.js";
import type { FileLock } from "../bytes/lock.js";
import { OutputFile } from "../bytes/output.js";
import { rowCount, type SourceTensor } from "../model/source.js";
import type { OnProgress } from "../progress.js";
import { rowBytes } from "../quants/types.js";
import type { PlannedFile } from "./output-plan.js";

/** Bytes read and written at once; memory for more comes new from the system each time, which takes longer than reading. */
const pieceBytes = 2 * 2 ** 20;

/** Pieces on their way between the files. */
const piecesInFlight = 4;

/** Writes all files under other names; they get theirs together, of a set the first one last. */
export async function copyTensors(
  plan: readonly PlannedFile[],
  {
    onProgress,
    signal,
  }: { readonly onProgress?: OnProgress | undefined; readonly signal?: AbortSignal | undefined },
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
