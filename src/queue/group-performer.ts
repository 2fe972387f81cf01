/** Gets the data of groups of chunks and has them run: what a worker does with the jobs of one task. */
import { EnvironmentError } from "../errors.js";
import type { DataAccess } from "./data-access.js";
import type { QueueJob } from "./jobs.js";

/** A group of chunks. */
export interface TokenGroup {
  /** Number of its first chunk in the text. */
  readonly first: number;
  readonly chunks: number;
  /** Tokens of all its chunks, one chunk after the other. */
  readonly tokens: Int32Array;
  /** For each token 1 if the prediction made at it is scored; only where something is. */
  readonly scored?: Uint8Array | undefined;
}

/** Runs a group; resolves with what comes of it, as it goes over the network. */
export type PerformGroup = (group: TokenGroup) => Promise<Uint8Array>;

/** Groups that fail here one after the other before this machine is taken for a broken one. */
const mostFailures = 3;

/**
 * Performs the jobs of the task with this digest. `onBroken` is called when this machine does not get any done: it is to
 * leave them to others.
 */
export function groupPerformer(
  task: string,
  access: DataAccess,
  perform: PerformGroup,
  onBroken: () => void,
): (job: QueueJob) => Promise<Uint8Array> {
  let failures = 0;
  const counted: PerformGroup = async (group) => {
    failures++;
    try {
      const body = await perform(group);
      failures = 0;
      return body;
    } finally {
      if (failures === mostFailures) {
        onBroken();
      }
    }
  };
  return async (job) => {
    const { work } = job;
    if (work.kind !== "chunks" || work.task !== task) {
      throw new EnvironmentError("a job of other work lies on this queue.");
    }
    const { first, chunks } = work;
    const tokens = await access.fetch(job, work.tokens);
    const scored = work.scored && (await access.fetch(job, work.scored));
    return await counted({ first, chunks, tokens: int32Of(tokens), ...(scored && { scored }) });
  };
}

function int32Of(bytes: Uint8Array): Int32Array {
  const aligned = new Uint8Array(bytes);
  return new Int32Array(aligned.buffer, 0, Math.floor(aligned.byteLength / 4));
}
