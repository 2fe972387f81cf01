/**
 * Threads that transcode slices. The caller reads slices and writes results; the pool keeps every thread supplied
 * with one slice in work and one waiting, so that none stands still while the caller is busy.
 *
 * Bytes are moved, not copied: a slice's `source` goes to the thread and is empty afterwards, the result's bytes
 * come back the same way.
 */
import { Worker } from "node:worker_threads";
import { CancelledError, InternalError, tooManyFiles } from "../errors.js";
import { deserializeError } from "../serialized-error.js";
import type { SimdModule } from "../wasm/load.js";
import { loadKernels, newKernels } from "./kernels/load.js";
import { loadOutputAwareKernels } from "./output-aware/load.js";
import { contentOf } from "./output-aware/refine.js";
import type { PoolTask, Reply } from "./pool-messages.js";
import type { StoredSlice, Survey } from "./survey.js";
import type { Slice, Transcoded } from "./transcode.js";
import { allOrFirst, type Transcoder } from "./transcoder.js";
import { type Done, perform, type Work } from "./work.js";
import { Workspace } from "./workspace.js";

/** Slices given to a thread at a time: one in work and one waiting. More only if they go together. */
const slicesPerThread = 2;

/** Work of which nobody has begun any: all of it goes to one thread. */
type Batch = readonly [Waiting, ...Waiting[]];

interface Waiting {
  readonly work: Work;
  readonly resolve: (done: Done) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly tasks: Map<number, Waiting>;
  /** The moments of the work given to it last, by their content: it has made them ready. */
  moments: string | undefined;
}

export class EncoderPool implements Transcoder {
  readonly slicesInFlight: number;

  readonly #threads: Thread[] = [];
  readonly #queue: Batch[] = [];
  readonly #workspace: Workspace | undefined;
  #outstanding = 0;
  #nextId = 0;
  #failure: Error | undefined;
  #wakeWaiters: () => void = () => {};
  #change: Promise<void>;

  readonly #threadCount: number;
  readonly #onWarning: ((warning: string) => void) | undefined;
  readonly #warnings = new Set<string>();

  /**
   * Starts `threads` threads; with 0, slices are transcoded in the calling thread.
   * @param onWarning hears once why the pool is slower than it could be, if it is
   */
  constructor(threadCount: number, onWarning?: (warning: string) => void) {
    this.#threadCount = threadCount;
    this.#onWarning = onWarning;
    this.slicesInFlight = 3 * Math.max(1, threadCount);
    this.#change = this.#nextChange();
    // Threads take over what is loaded here.
    this.#warn(loadKernels());
    loadOutputAwareKernels();
    if (threadCount === 0) {
      this.#workspace = new Workspace(newKernels());
    }
    for (let i = 0; i < threadCount; i++) {
      this.#threads.push(this.#start());
    }
  }

  /**
   * Transcodes a slice; see `transcode` for the errors that reject the promise. They concern this slice alone.
   * Also rejects when a thread breaks down or the pool is closed before the slice is done. Does not wait for room:
   * see `ready`.
   */
  async transcode(slice: Slice): Promise<Transcoded> {
    const [transcoded] = await this.transcodeTogether([slice]);
    return transcoded as Transcoded;
  }

  /** Transcodes slices one after the other in one thread: see `Transcoder`. */
  async transcodeTogether(slices: readonly Slice[]): Promise<Transcoded[]> {
    const works = slices.map((slice): Work => ({ kind: "transcode", slice }));
    return (await allOrFirst(this.#submit(works))) as Transcoded[];
  }

  /** Surveys a slice; see `survey` for the errors that reject the promise, else as `transcode`. */
  async survey(slice: StoredSlice): Promise<Survey> {
    const [done] = await Promise.all(this.#submit([{ kind: "survey", slice }]));
    return done as Survey;
  }

  /**
   * Resolves once the pool could do with another slice. A caller that waits for this before it reads the next
   * slice keeps memory bounded: about three slices and three results per thread.
   */
  async ready(): Promise<void> {
    const enough = Math.max(1, this.#threadCount) * (slicesPerThread + 1);
    while (this.#outstanding >= enough && !this.#failure) {
      await this.#change;
    }
  }

  /** Ends all threads. Slices that are not done are rejected with a CancelledError. */
  async close(): Promise<void> {
    this.#fail(new CancelledError("The encoder pool was closed before all slices were done."));
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #submit(works: readonly Work[]): Promise<Done>[] {
    const batch: Waiting[] = [];
    const all = works.map((work) => {
      if (this.#failure) {
        return Promise.reject(this.#failure);
      }
      // A thread never sees a message with a buffer that was moved before.
      if (work.slice.source.byteLength === 0) {
        return Promise.reject(
          new InternalError(`${work.slice.label}: a slice without bytes; was it moved before?`),
        );
      }
      this.#warnOf(work);
      return new Promise<Done>((resolve, reject) => batch.push({ work, resolve, reject }));
    });
    const [first, ...others] = batch;
    if (first) {
      this.#outstanding += batch.length;
      this.#queue.push([first, ...others]);
      this.#distribute();
    }
    return all;
  }

  #start(): Thread {
    // Without the process's own Node options: `--input-type`, for one, would keep the thread from starting.
    const worker = new Worker(new URL("./pool-worker.js", import.meta.url), { execArgv: [] });
    const thread: Thread = { worker, tasks: new Map(), moments: undefined };
    worker.on("message", (reply: Reply) => this.#receive(thread, reply));
    worker.on("messageerror", (cause) => this.#fail(brokenThread("sent a reply that cannot be read", cause)));
    worker.on("error", (cause) => this.#fail(tooManyFiles(cause) ?? brokenThread(cause.message, cause)));
    worker.on("exit", (code) => this.#fail(brokenThread(`ended with exit code ${code}`)));
    return thread;
  }

  #distribute(): void {
    while (this.#queue.length > 0) {
      const batch = this.#queue[0]!;
      if (this.#workspace) {
        this.#queue.shift();
        for (const task of batch) {
          this.#performHere(task, this.#workspace);
        }
        continue;
      }
      const moments = momentsOf(batch[0].work);
      const thread = this.#threadFor(moments);
      if (thread === undefined) {
        return;
      }
      this.#queue.shift();
      thread.moments = moments;
      for (const task of batch) {
        this.#send(thread, task);
      }
    }
  }

  /** Who has room. A thread that has the same moments ready takes one batch more: to make them may take a second. */
  #threadFor(moments: string | undefined): Thread | undefined {
    const ready = this.#threads.filter(
      (thread) => moments !== undefined && thread.moments === moments && thread.tasks.size <= slicesPerThread,
    );
    if (ready.length > 0) {
      return idlest(ready);
    }
    const thread = idlest(this.#threads);
    return thread.tasks.size < slicesPerThread ? thread : undefined;
  }

  #performHere(task: Waiting, workspace: Workspace): void {
    try {
      task.resolve(perform(task.work, workspace));
    } catch (error) {
      task.reject(error as Error);
    }
    this.#finished(task.work);
  }

  #send(thread: Thread, task: Waiting): void {
    const id = this.#nextId++;
    const work = ownBytes(task.work);
    thread.tasks.set(id, task);
    thread.worker.postMessage({ id, ...work } satisfies PoolTask, [work.slice.source.buffer as ArrayBuffer]);
  }

  #receive(thread: Thread, reply: Reply): void {
    const task = thread.tasks.get(reply.id);
    if (!task) {
      return;
    }
    thread.tasks.delete(reply.id);
    if ("done" in reply) {
      task.resolve(reply.done);
    } else {
      task.reject(deserializeError(reply.error));
    }
    this.#finished(task.work);
    this.#distribute();
  }

  #finished(work: Work): void {
    // A thread may have found a kernel wrong.
    this.#warnOf(work);
    this.#outstanding--;
    this.#wakeWaiters();
    this.#change = this.#nextChange();
  }

  #warnOf(work: Work): void {
    this.#warn(loadKernels());
    if (work.kind === "transcode" && work.slice.moments) {
      this.#warn(loadOutputAwareKernels());
    }
  }

  #warn({ warning }: SimdModule): void {
    if (warning !== undefined && !this.#warnings.has(warning)) {
      this.#warnings.add(warning);
      this.#onWarning?.(warning);
    }
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeWaiters = resolve;
    });
  }

  #fail(error: Error): void {
    if (this.#failure) {
      return;
    }
    this.#failure = error;
    const tasks = [...this.#threads.flatMap(({ tasks }) => [...tasks.values()]), ...this.#queue.flat()];
    for (const { tasks } of this.#threads) {
      tasks.clear();
    }
    this.#queue.length = 0;
    for (const task of tasks) {
      task.reject(error);
    }
    this.#wakeWaiters();
  }
}

function idlest(threads: readonly Thread[]): Thread {
  return threads.reduce((a, b) => (b.tasks.size < a.tasks.size ? b : a));
}

/** What must be made ready for some work, by its content. */
function momentsOf(work: Work): string | undefined {
  return work.kind === "transcode" && work.slice.moments ? contentOf(work.slice.moments) : undefined;
}

/** The same work on bytes that can be moved: a view of a larger buffer would take the whole buffer along. */
function ownBytes(work: Work): Work {
  const source = exactly(work.slice.source);
  if (work.kind === "survey") {
    return { ...work, slice: { ...work.slice, source } };
  }
  const { importance, encoded } = work.slice;
  const copies = {
    importance: importance && { ...importance, values: importance.values.slice() },
    encoded: encoded && exactly(encoded),
  };
  return { ...work, slice: { ...work.slice, ...copies, source } };
}

function exactly(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
}

function brokenThread(what: string, cause?: unknown): InternalError {
  return new InternalError(
    `An encoder thread broke down: ${what}. Try again with fewer threads.`,
    {},
    { cause },
  );
}
