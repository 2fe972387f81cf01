/**
 * Work that is done beside the model, in the engine's child process: a function in a module of its own, named by
 * the module's address so that the child can import it. What is large (activations, logits) is reduced there;
 * only parameters, messages, events and the result cross between the processes, as structured clones.
 */
import type { JobFiles } from "./job-files.js";
import type { NativeLibrary } from "./library.js";
import type { Model, ModelOptions } from "./model.js";

/** What a running job can use. */
export interface JobHost<Event = never, Message = never> {
  readonly library: NativeLibrary;
  /** Loads a model, or gives the one that is already loaded with the same options. */
  model(options: ModelOptions): Model;
  /** Sends an event to the parent. A view of native memory must be copied first (`slice`). */
  emit(event: Event): void;
  /**
   * The next message that the parent sent to this job, in the order sent; undefined if there is none now.
   * Native calls block the thread, so that a job which takes messages asks between its batches.
   */
  receive(): Message | undefined;
  /** Sleeps until a message is there or the job is cancelled. */
  waitForMessage(): void;
  /** Whether the parent asked to stop. Loads and decodes notice by themselves. */
  readonly isCancelled: () => boolean;
}

/** A job as both processes know it. */
export interface Job<Params, Result, Event = never, Message = never> {
  /** Address of the module that exports it. */
  readonly module: string;
  /** Name of the export. */
  readonly name: string;
  readonly run: (params: Params, host: JobHost<Event, Message>) => Result | Promise<Result>;
  /** What it opens by name: where the system confines the engine's process, there is nothing else. */
  readonly files: (params: Params) => JobFiles;
}

/**
 * Defines a job. It must be exported from its module under `name`:
 * `export const countTokens = defineJob(import.meta.url, "countTokens", ({ model }) => readsModel(model), run)`.
 */
export function defineJob<Params, Result, Event = never, Message = never>(
  module: string,
  name: string,
  files: (params: Params) => JobFiles,
  run: (params: Params, host: JobHost<Event, Message>) => Result | Promise<Result>,
): Job<Params, Result, Event, Message> {
  return { module, name, files, run };
}
