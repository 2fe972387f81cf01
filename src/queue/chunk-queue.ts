/**
 * Groups of chunks on a queue: they are put there in the order of the text, some ahead of those that are done, and what
 * comes of them is taken in that order, so that a sum does not depend on who is quicker.
 */
import { hostname } from "node:os";
import { inOrder } from "../bytes/bounded-pipeline.js";
import { availableMemoryBytes } from "../engine/limits.js";
import { type ChunkTask, sealTask, taskDigest } from "./chunk-task.js";
import { Coordinator, type Step } from "./coordinator.js";
import { HttpAccess } from "./data-access.js";
import { groupPerformer, type PerformGroup, type TokenGroup } from "./group-performer.js";
import { JobWorker } from "./job-worker.js";
import type { DataReference } from "./jobs.js";
import { LocalAccess } from "./local-access.js";
import { queueName } from "./redis.js";
import { sha256 } from "./seal.js";
import type { QueueSettings } from "./settings.js";

/** Groups on their way for each machine: one in work, and one that waits. */
const groupsPerMachine = 2;

/** Part of the machine's memory that results may take which wait for those before them. */
const memoryShare = 0.25;

/** Machines that are named while the work goes on. */
const mostNamed = 4;

export interface ChunkQueueOptions {
  readonly settings: QueueSettings;
  readonly task: ChunkTask;
  /** Files of its models by SHA-256, for machines that do not reach them. */
  readonly files: ReadonlyMap<string, string>;
  /** What is to be done, in order. */
  readonly groups: Iterable<TokenGroup>;
  /** Does a group on this machine. */
  readonly perform: PerformGroup;
  /** Most bytes that come of a group. */
  readonly mostBytes: number;
  /** Takes what came of a group, in the order of the groups; says how far the work is. */
  readonly take: (group: TokenGroup, body: Uint8Array) => Promise<Step> | Step;
  /** Hears who has done how much. */
  readonly onMachines?: (description: string) => void;
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Has the machines of a queue do all groups. Errors: see `Coordinator.open` and `submit`; a CancelledError if `signal`
 * stops it.
 */
export async function runOnQueue(options: ChunkQueueOptions): Promise<void> {
  const { settings, task, files, groups, perform, mostBytes, take, onMachines, onWarning, signal } = options;
  const { token, local } = settings;
  const sealed = sealTask(token, task);
  const coordinator = await Coordinator.open({ ...settings, kind: "chunks", task: sealed, files, onWarning });
  const abort = () => coordinator.abort();
  signal?.addEventListener("abort", abort);
  if (!local && coordinator.workers === 0) {
    onWarning?.(
      "no worker that runs the model is there yet; the work begins when one comes (lopsided worker).",
    );
  }
  const worker = local ? workHere(coordinator, token, taskDigest(sealed), perform, onWarning) : undefined;
  const most = Math.max(2, Math.floor((memoryShare * availableMemoryBytes()) / mostBytes));
  const pace = {
    get limit() {
      return Math.min(most, groupsPerMachine * (coordinator.workers + 1));
    },
    signal,
  };
  // After a failure what is on its way is not waited for; it would be told as stopped.
  const failures: unknown[] = [];
  const orStop = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      failures.push(error);
      coordinator.abort();
      throw error;
    }
  };
  const submit = (group: TokenGroup) =>
    orStop(() => coordinator.submit({ ...orderOf(group, taskDigest(sealed)), mostBytes }));
  try {
    await inOrder(groups, pace, submit, (group, body) =>
      orStop(async () => {
        coordinator.tell(await take(group, body));
        onMachines?.(describeMachines(coordinator));
      }),
    );
  } catch (error) {
    throw failures[0] ?? error;
  } finally {
    signal?.removeEventListener("abort", abort);
    await worker?.close(true);
    await coordinator.close();
  }
}

function workHere(
  coordinator: Coordinator,
  token: string,
  task: string,
  perform: PerformGroup,
  onWarning: ((warning: string) => void) | undefined,
): JobWorker {
  const name = `${hostname()}:${process.pid}`;
  const access = new LocalAccess(coordinator, new HttpAccess(token, name), name);
  const worker: JobWorker = new JobWorker({
    redis: coordinator.redis,
    name: queueName("chunks", token, task),
    token,
    concurrency: 1,
    access,
    perform: groupPerformer(task, access, perform, () => {
      onWarning?.("groups fail on this machine, which leaves them to others.");
      void worker.close(true);
    }),
    onWarning,
  });
  return worker;
}

/** What there is to say of a group, and its data. */
function orderOf({ first, chunks, tokens, scored }: TokenGroup, task: string) {
  const data = new Map<string, () => Uint8Array>();
  const refer = (bytes: Uint8Array): DataReference => {
    const hash = sha256(bytes);
    data.set(hash, () => bytes);
    return { sha256: hash, bytes: bytes.byteLength };
  };
  const work = {
    kind: "chunks" as const,
    task,
    first,
    chunks,
    tokens: refer(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)),
    ...(scored && { scored: refer(scored) }),
  };
  return { work, data };
}

function describeMachines(coordinator: Coordinator): string {
  const done = coordinator.rates().toSorted((a, b) => b.jobs - a.jobs);
  const named = done.slice(0, mostNamed).map(({ worker, jobs }) => `${worker} ${jobs}`);
  const machines = done.length === 1 ? "1 machine" : `${done.length} machines`;
  return `groups by ${machines}: ${named.join(", ")}${done.length > mostNamed ? ", ..." : ""}`;
}
