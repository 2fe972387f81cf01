/** The encoders of a run that uses a queue: its coordinator, and the threads of this machine among the workers. */
import { hostname } from "node:os";
import { memoryLimitBytes } from "../engine/limits.js";
import type { EncoderPool } from "../quants/pool.js";
import { Coordinator, type Step } from "./coordinator.js";
import { HttpAccess } from "./data-access.js";
import { InputCache } from "./input-cache.js";
import { JobWorker } from "./job-worker.js";
import { LocalAccess } from "./local-access.js";
import { QueueTranscoder } from "./queue-transcoder.js";
import { queueName } from "./redis.js";
import type { QueueSettings } from "./settings.js";
import { SlicePerformer } from "./slice-performer.js";

/** Part of the memory in which inputs of slices are kept. */
const cacheShare = 0.1;

export interface QueueEncoders {
  readonly transcoder: QueueTranscoder;
  /** Tells others how far the work is. */
  tell(step: Step): void;
  /** Waits for no slice any more. */
  abort(): void;
  /** Takes back what is on the queue. The threads stay. */
  close(): Promise<void>;
}

/**
 * Opens a queue for slices. `pool` checks and copies, and encodes too unless this machine only coordinates. Errors:
 * see `Coordinator.open`.
 */
export async function openQueueEncoders(
  settings: QueueSettings,
  pool: EncoderPool,
  threads: number,
  onWarning: ((warning: string) => void) | undefined,
): Promise<QueueEncoders> {
  const { token, local } = settings;
  const coordinator = await Coordinator.open({ ...settings, kind: "slices", onWarning });
  if (!local && coordinator.threads === 0) {
    onWarning?.("no worker is there yet; the work begins when one comes (lopsided worker).");
  }
  let worker: JobWorker | undefined;
  if (local) {
    const name = `${hostname()}:${process.pid}`;
    const access = new LocalAccess(coordinator, new HttpAccess(token, name), name);
    const cache = new InputCache(cacheShare * memoryLimitBytes());
    const performer = new SlicePerformer({ encoders: pool, access, cache });
    worker = new JobWorker({
      redis: coordinator.redis,
      name: queueName("slices", token),
      token,
      concurrency: 2 * Math.max(1, threads),
      access,
      perform: (job) => performer.perform(job),
      onWarning,
    });
  }
  return {
    transcoder: new QueueTranscoder(coordinator, pool),
    tell: (step) => coordinator.tell(step),
    abort: () => coordinator.abort(),
    async close() {
      await worker?.close(true);
      await coordinator.close();
    },
  };
}
