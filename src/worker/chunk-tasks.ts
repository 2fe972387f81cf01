/**
 * The tasks of coordinators that have chunks to run through models: taken up where this machine has the models and would
 * come to the same results, and left when the coordinator has gone.
 */

import { stat } from "node:fs/promises";
import type { SweptModel } from "../activations/sweep.js";
import {
  closeModels,
  type FindModel,
  type FoundModel,
  openTaskModels,
  placementOf,
} from "../activations/task-models.js";
import { planSweep } from "../activations/window-plan.js";
import { isAddress, shownAddress } from "../bytes/address.js";
import { Engine } from "../engine/engine.js";
import { describeEngine } from "../engine/engine-signature.js";
import { graphicsFor } from "../engine/gpus.js";
import { EnvironmentError, LopsidedError } from "../errors.js";
import { scoresGroups } from "../evaluate/measure-group.js";
import { collectsGroups } from "../imatrix/collect-group.js";
import { planPrediction } from "../model/prediction-facts.js";
import type { ModelSource } from "../model/source.js";
import { type ChunkTask, openTask, taskDigest } from "../queue/chunk-task.js";
import { LaterError, NotWanted } from "../queue/data-access.js";
import { forgetQueue } from "../queue/forget-queue.js";
import { groupPerformer, type PerformGroup } from "../queue/group-performer.js";
import { JobWorker, type JobWorkerOptions } from "../queue/job-worker.js";
import type { CoordinatorPresence } from "../queue/presence.js";
import { queueName } from "../queue/redis.js";
import type { ModelCache } from "./model-cache.js";

/** A coordinator that was not seen for so long has gone, in milliseconds: Redis may have been away meanwhile. */
const goneAfterMs = 30_000;

export interface ChunkTasksOptions
  extends Pick<JobWorkerOptions, "redis" | "token" | "access" | "onDone" | "onWarning"> {
  readonly threads: number | undefined;
  /** Where this machine has a model of that name. */
  readonly pathOf: (name: string) => string | undefined;
  /** Where models are kept that it gets from coordinators. */
  readonly models: ModelCache;
}

/** A task that is worked for, or was refused. */
interface KnownTask {
  seenAt: number;
  readonly stopping: AbortController;
  readonly begun: Promise<RunningTask | undefined>;
  /** Jobs are taken. */
  runs: boolean;
}

interface RunningTask {
  close(now: boolean): Promise<void>;
}

export class ChunkTasks {
  readonly #options: ChunkTasksOptions;
  readonly #known = new Map<string, KnownTask>();
  readonly #said = new Set<string>();
  readonly #engine = new Engine();
  #signature: Promise<string | undefined> | undefined;

  constructor(options: ChunkTasksOptions) {
    this.#options = options;
  }

  /** Digests of the tasks whose chunks are run here. */
  get names(): string[] {
    return [...this.#known].flatMap(([digest, { runs }]) => (runs ? [digest] : []));
  }

  /** Takes up the tasks of these coordinators, and leaves those of others. */
  look(coordinators: readonly CoordinatorPresence[]): void {
    void this.#options.models.touch();
    const now = performance.now();
    for (const coordinator of coordinators) {
      if (coordinator.task === undefined) {
        continue;
      }
      const digest = taskDigest(coordinator.task);
      const known = this.#known.get(digest);
      if (known) {
        known.seenAt = now;
      } else {
        this.#takeUp(digest, coordinator, coordinator.task);
      }
    }
    for (const [digest, { seenAt }] of this.#known) {
      if (seenAt < now - goneAfterMs) {
        void this.#leave(digest, true).then(() =>
          forgetQueue(this.#options.redis, queueName("chunks", this.#options.token, digest)),
        );
      }
    }
  }

  /** Finishes the groups in hand; with `now`, leaves them to others. */
  async close(now: boolean): Promise<void> {
    await Promise.all([...this.#known.keys()].map((digest) => this.#leave(digest, now)));
    await this.#engine.close();
  }

  #takeUp(
    digest: string,
    coordinator: CoordinatorPresence,
    sealed: NonNullable<CoordinatorPresence["task"]>,
  ): void {
    const stopping = new AbortController();
    const { token, models } = this.#options;
    const begin = async () => {
      const task = openTask(token, sealed);
      const find: FindModel = async (model) =>
        (await this.#ownPath(model.name)) ??
        (await models.hold(digest, model, coordinator.url, stopping.signal));
      return await this.#begin(digest, task, find, stopping.signal);
    };
    const begun = begin().then(
      (running) => {
        known.runs = true;
        return running;
      },
      (error: unknown) => {
        models.release(digest);
        const mayWorkLater = error instanceof LaterError || error instanceof NotWanted;
        if (mayWorkLater && this.#known.get(digest) === known) {
          this.#known.delete(digest);
        }
        if (!stopping.signal.aborted && !(error instanceof NotWanted)) {
          const reason = error instanceof LopsidedError ? error.message : String(error);
          const { host, url } = coordinator;
          this.#say(`runs no model for the coordinator on ${host} (${shownAddress(url)}): ${reason}`);
        }
        return undefined;
      },
    );
    const known: KnownTask = { seenAt: performance.now(), stopping, begun, runs: false };
    this.#known.set(digest, known);
  }

  /** The same sentence is said once. */
  #say(sentence: string): void {
    if (!this.#said.has(sentence)) {
      this.#said.add(sentence);
      this.#options.onWarning?.(sentence);
    }
  }

  /** Where this machine reaches a model by itself. */
  async #ownPath(name: string): Promise<string | undefined> {
    const path = this.#options.pathOf(name);
    const isThere = path !== undefined && (isAddress(path) || (await stat(path).catch(() => undefined)));
    return isThere ? path : undefined;
  }

  async #begin(digest: string, task: ChunkTask, find: FindModel, signal: AbortSignal): Promise<RunningTask> {
    const { token, redis, access, onDone, onWarning } = this.#options;
    this.#signature ??= signatureOf(this.#engine);
    const signature = await this.#signature;
    if (task.engine !== signature) {
      throw new EnvironmentError(
        `it computes with ${task.engine}, and this worker with ${signature ?? "nothing"}, whose results could differ.`,
      );
    }
    const models = await openTaskModels(task.models, find, signal);
    try {
      const perform = await this.#performerOf(task, models, signal);
      const jobs: JobWorker = new JobWorker({
        ...{ redis, token, access, onWarning, ...(onDone && { onDone }) },
        name: queueName("chunks", token, digest),
        concurrency: 1,
        perform: groupPerformer(digest, access, perform, () => {
          const known = this.#known.get(digest);
          if (known) {
            known.runs = false;
          }
          onWarning?.("groups of chunks fail on this machine, which leaves them to others.");
          void jobs.close(true);
        }),
      });
      return {
        async close(now) {
          await jobs.close(now);
          await closeModels(models);
        },
      };
    } catch (error) {
      await closeModels(models);
      throw error;
    }
  }

  async #performerOf(
    task: ChunkTask,
    models: readonly FoundModel[],
    signal: AbortSignal,
  ): Promise<PerformGroup> {
    const { threads } = this.#options;
    const engine = this.#engine;
    const sources = models.map(({ source }) => source);
    const planned = await this.#plan(task, models, signal);
    if (task.kind === "scores") {
      return scoresGroups(task, { engine, sources, models: planned, threads, signal });
    }
    const [source, model] = [sources[0] as ModelSource, planned[0] as SweptModel];
    return collectsGroups(task, { engine, source, model, threads, signal });
  }

  /** How this machine runs the models. Throws an EnvironmentError if other processors would compute them. */
  async #plan(
    task: ChunkTask,
    models: readonly FoundModel[],
    signal: AbortSignal,
  ): Promise<readonly SweptModel[]> {
    const { gpuLayers } = task;
    const graphics = await graphicsFor(this.#engine, { gpuLayers, signal });
    const total = models.reduce((sum, { source }) => sum + source.byteLength, 0);
    return models.map(({ path, source }, i) => {
      const planned = planSweep(source, path, {
        ...{ gpuLayers, graphics },
        ...{ modelsTogether: models.length, otherBytes: total - source.byteLength },
        needsOutput: task.kind === "scores" || task.processOutput,
        prediction: task.kind === "imatrix" && task.prediction ? planPrediction(source) : undefined,
      });
      if (placementOf(planned) !== task.models[i]?.placement) {
        throw new EnvironmentError(
          `${planned.whole.name ?? path}: would not be computed as where the run began (other layers, or other processors for them), so that results could differ.`,
        );
      }
      return planned;
    });
  }

  async #leave(digest: string, now: boolean): Promise<void> {
    const known = this.#known.get(digest);
    if (known === undefined) {
      return;
    }
    this.#known.delete(digest);
    if (now || !known.runs) {
      known.stopping.abort();
    }
    await (await known.begun)?.close(now);
    this.#options.models.release(digest);
    known.stopping.abort();
    if (this.#known.size === 0) {
      // Its memory is free for other work.
      await this.#engine.close();
    }
  }
}

/** What decides results of models here; undefined where llama.cpp is not installed, which encoding does not need. */
async function signatureOf(engine: Engine): Promise<string | undefined> {
  return await engine.run(describeEngine, {}).catch(() => undefined);
}
