/**
 * The machines of a queue as a `Transcoder`: what must be encoded goes on the queue; copies and the check of what was
 * written stay with the threads of this machine, so that what others made is looked at here.
 */
import { shownName } from "../bytes/address.js";
import { availableMemoryBytes } from "../engine/limits.js";
import type { StoredSlice, Survey } from "../quants/survey.js";
import type { Slice, Transcoded } from "../quants/transcode.js";
import type { Transcoder } from "../quants/transcoder.js";
import { formatCount } from "../units.js";
import type { Coordinator } from "./coordinator.js";
import { encodeResultBytes, unpackEncoded } from "./encode-result.js";
import { type DataReference, type EncodeJob, weightsOf } from "./jobs.js";
import { sha256 } from "./seal.js";

/**
 * Slices with the same moments that go to one machine together: whoever encodes factorizes the moments first, which
 * takes as long as encoding some hundred thousand weights.
 */
const slicesPerJob = 3;

/** A job does not wait longer for more of them, in milliseconds. */
const longestWaitMs = 50;

/** Slices on their way for each thread of a worker: one job in work, one waiting there, and some for the way. */
const slicesPerThread = 2 * slicesPerJob + 1;

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

  /** Slices for the next job, and what they have in common. */
  #collected: Waiting[] = [];
  #common = "";
  #timer: NodeJS.Timeout | undefined;

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
    // Rows of kept activations are too many to be sent for each slice.
    const { moments } = slice;
    if (
      slice.encoded !== undefined ||
      slice.sourceType === slice.targetType ||
      (moments && !("sums" in moments))
    ) {
      return await this.#here.transcode(slice);
    }
    return await new Promise((resolve, reject) => this.#collect({ slice, resolve, reject }));
  }

  async survey(slice: StoredSlice): Promise<Survey> {
    return await this.#here.survey(slice);
  }

  #collect(waiting: Waiting): void {
    const { slice } = waiting;
    const common = commonOf(slice);
    if (common !== this.#common) {
      this.#send();
      this.#common = common;
    }
    this.#collected.push(waiting);
    if (slice.moments === undefined || this.#collected.length >= slicesPerJob) {
      this.#send();
    } else {
      this.#timer ??= setTimeout(() => this.#send(), longestWaitMs);
    }
  }

  /** Puts what was collected on the queue as one job. */
  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waiting = this.#collected;
    this.#collected = [];
    const [first, ...others] = waiting.map(({ slice }) => slice);
    if (first === undefined) {
      return;
    }
    const data = new Map<string, () => Uint8Array>();
    const work = jobOf([first, ...others], (bytes, hash = sha256(bytes)) => {
      data.set(hash, () => bytes);
      return { sha256: hash, bytes: bytes.byteLength };
    });
    this.#coordinator
      .submit({
        work,
        data,
        mostBytes: encodeResultBytes(work),
        weights: weightsOf(work),
        check: (body) => void unpackEncoded(work, body),
      })
      .then((packed) => {
        for (const [i, transcoded] of unpackEncoded(work, packed).entries()) {
          waiting[i]?.resolve(transcoded);
        }
      })
      .catch((error: Error) => {
        for (const { reject } of waiting) {
          reject(error);
        }
      });
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

/** A slice whose result is waited for. */
interface Waiting {
  readonly slice: Slice;
  readonly resolve: (transcoded: Transcoded) => void;
  readonly reject: (error: Error) => void;
}

/** What slices of one job must have in common. */
function commonOf(slice: Slice): string {
  const { sourceType, targetType, columns, effort, importance, moments, measureOutputs = false } = slice;
  return JSON.stringify([
    ...[sourceType, targetType, columns, effort, measureOutputs, importance?.sha256],
    ...(moments && "sums" in moments ? [moments.sums.sha256, moments.vectors, moments.name] : []),
  ]);
}

/** What there is to say of slices in a job; `refer` names their data. */
function jobOf(
  slices: readonly [Slice, ...Slice[]],
  refer: (bytes: Uint8Array, sha256?: string) => DataReference,
): EncodeJob {
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
