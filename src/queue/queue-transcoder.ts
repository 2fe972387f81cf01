/**
 * The machines of a queue as a `Transcoder`: what must be encoded goes on the queue; copies and the check of what was
 * written stay with the threads of this machine, so that what others made is looked at here.
 */
import { shownName } from "../bytes/address.js";
import { availableMemoryBytes } from "../engine/limits.js";
import { contentOf } from "../quants/output-aware/refine.js";
import type { StoredSlice, Survey } from "../quants/survey.js";
import type { Slice, Transcoded } from "../quants/transcode.js";
import { allOrFirst, type Transcoder } from "../quants/transcoder.js";
import { formatCount } from "../units.js";
import type { Coordinator } from "./coordinator.js";
import { encodeResultBytes, unpackEncoded } from "./encode-result.js";
import { type DataReference, type EncodeJob, mostSlices, weightsOf } from "./jobs.js";
import { sha256 } from "./seal.js";

/** Slices on their way for each thread of a worker: a job of four in work, another waiting there, and one for the way. */
const slicesPerThread = 9;

/** A slice's rows and its result, at most: a million weights as float32 and as much again. */
const sliceBytes = 2 ** 23;

/** Part of the machine's memory that slices on their way may take. */
const memoryShare = 0.25;

/** Machines that are named while the work goes on. */
const mostNamed = 4;

export class QueueTranscoder implements Transcoder {
  readonly #coordinator: Coordinator;
  readonly #here: Transcoder;
  readonly #mostSlices = Math.floor((memoryShare * availableMemoryBytes()) / sliceBytes);

  /** `here` are the threads of this machine. */
  constructor(coordinator: Coordinator, here: Transcoder) {
    this.#coordinator = coordinator;
    this.#here = here;
  }

  get slicesInFlight(): number {
    const wanted = this.#here.slicesInFlight + slicesPerThread * this.#coordinator.threads;
    return Math.max(this.#here.slicesInFlight, Math.min(wanted, this.#mostSlices));
  }

  /** As `transcode`; rejects with an EnvironmentError too if the slice fails wherever it is tried. */
  async transcode(slice: Slice): Promise<Transcoded> {
    const [transcoded] = await this.transcodeTogether([slice]);
    return transcoded as Transcoded;
  }

  /** Slices that differ in nothing but their rows are one job, as those with the same moments mostly do. */
  async transcodeTogether(slices: readonly Slice[]): Promise<Transcoded[]> {
    const parts = alikeTogether(slices).map((alike) =>
      isForOthers(alike[0]) ? this.#onQueue(alike) : this.#here.transcodeTogether(alike),
    );
    return (await allOrFirst(parts)).flat();
  }

  async survey(slice: StoredSlice): Promise<Survey> {
    return await this.#here.survey(slice);
  }

  async #onQueue(slices: Alike): Promise<Transcoded[]> {
    const data = new Map<string, () => Uint8Array>();
    const work = jobOf(slices, (bytes, hash = sha256(bytes)) => {
      data.set(hash, () => bytes);
      return { sha256: hash, bytes: bytes.byteLength };
    });
    const packed = await this.#coordinator.submit({
      work,
      data,
      mostBytes: encodeResultBytes(work),
      weights: weightsOf(work),
      check: (body) => void unpackEncoded(work, body),
    });
    return unpackEncoded(work, packed);
  }

  describe(): string {
    const rates = this.#coordinator.rates().toSorted((a, b) => b.weightsPerSecond - a.weightsPerSecond);
    const named = rates.slice(0, mostNamed).map(({ worker, weightsPerSecond }) => {
      return `${worker} ${formatCount(weightsPerSecond)}/s`;
    });
    const machines = rates.length === 1 ? "1 machine" : `${rates.length} machines`;
    return `${machines}: ${named.join(", ")}${rates.length > mostNamed ? ", ..." : ""}`;
  }
}

/** Slices that have all in common but their rows. */
type Alike = readonly [Slice, ...Slice[]];

/** Not copies, nor rows that were encoded before; and rows of kept activations are too many to be sent for each slice. */
function isForOthers({ encoded, sourceType, targetType, moments }: Slice): boolean {
  return encoded === undefined && sourceType !== targetType && (moments === undefined || "sums" in moments);
}

/** Neighbours that can be one job, in their order. */
function alikeTogether(slices: readonly Slice[]): Alike[] {
  const parts: [Slice, ...Slice[]][] = [];
  for (const slice of slices) {
    const latest = parts.at(-1);
    if (latest && latest.length < mostSlices && commonOf(latest[0]) === commonOf(slice)) {
      latest.push(slice);
    } else {
      parts.push([slice]);
    }
  }
  return parts;
}

/** What slices of one job must have in common. */
function commonOf(slice: Slice): string {
  const { sourceType, targetType, columns, effort, importance, moments, measureOutputs = false } = slice;
  return JSON.stringify([
    ...[sourceType, targetType, columns, effort, measureOutputs, importance?.sha256, isForOthers(slice)],
    ...(moments ? [contentOf(moments), moments.name] : []),
  ]);
}

/** What there is to say of slices in a job; `refer` names their data. */
function jobOf(slices: Alike, refer: (bytes: Uint8Array, sha256?: string) => DataReference): EncodeJob {
  const { sourceType, targetType, columns, effort, importance, moments } = slices[0];
  return {
    kind: "encode",
    ...{ sourceType, targetType, columns, effort },
    measureOutputs: slices[0].measureOutputs ?? false,
    ...(importance && { importance: refer(bytesOf(importance.values), importance.sha256) }),
    ...(moments &&
      "sums" in moments && {
        moments: {
          name: moments.name,
          sums: refer(bytesOf(moments.sums.values), moments.sums.sha256),
          vectors: moments.vectors,
        },
      }),
    slices: slices.map(({ label, firstRow, source, origin }) => ({
      ...{ label, firstRow, source: refer(source) },
      // Where a file lies on this machine is nobody's business.
      ...(origin && { origin: { ...origin, model: shownName(origin.model), shape: [...origin.shape] } }),
    })),
  };
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
