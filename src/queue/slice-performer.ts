/** Encodes the slices that jobs describe: what a worker of the queue does, on whatever machine. */
import { EnvironmentError } from "../errors.js";
import type { Transcoder } from "../quants/transcoder.js";
import type { DataAccess } from "./data-access.js";
import { packEncoded } from "./encode-result.js";
import type { InputCache } from "./input-cache.js";
import type { DataReference, EncodeJob, QueueJob } from "./jobs.js";
import type { RowReader } from "./row-reader.js";
import { sha256 } from "./seal.js";

export interface SlicePerformerParts {
  readonly encoders: Transcoder;
  readonly access: DataAccess;
  readonly cache: InputCache;
  /** Reads rows at their origin. */
  readonly rows?: RowReader | undefined;
}

export class SlicePerformer {
  readonly #parts: SlicePerformerParts;

  constructor(parts: SlicePerformerParts) {
    this.#parts = parts;
  }

  /** Encodes the slices of a job. Errors: see `transcode` and `DataAccess`. */
  async perform(job: QueueJob): Promise<Uint8Array> {
    const { work } = job;
    if (work.kind !== "encode") {
      throw new EnvironmentError("a job of other work lies on this queue.");
    }
    const { encoders, cache, access } = this.#parts;
    const shared = (input: DataReference) => cache.get(input, () => access.fetch(job, input));
    const [importance, sums, sources] = await Promise.all([
      work.importance && shared(work.importance),
      work.moments && shared(work.moments.sums),
      Promise.all(work.slices.map((slice) => this.#rows(job, slice))),
    ]);
    const { sourceType, targetType, columns, effort, measureOutputs, moments } = work;
    const slices = work.slices.map(({ label, firstRow }, i) => ({
      ...{ label, firstRow, sourceType, targetType, columns, effort, measureOutputs },
      source: sources[i] as Uint8Array,
      ...(importance && { importance }),
      ...(moments && sums && { moments: { ...moments, sums } }),
    }));
    return packEncoded(await encoders.transcodeTogether(slices));
  }

  /** The rows from where they come from, if they can be read there and are the same; else the coordinator's. */
  async #rows(job: QueueJob, { source, origin }: EncodeJob["slices"][number]): Promise<Uint8Array> {
    const { rows, access } = this.#parts;
    const found = origin && (await rows?.read(origin));
    return found && sha256(found) === source.sha256 ? found : await access.fetch(job, source);
  }
}
