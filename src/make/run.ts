/** What all stages of one run share. */
import type { Engine } from "../engine/engine.js";
import { listenText } from "../queue/listen-address.js";
import type { MakeFolder } from "./folder.js";
import type { ResolvedMakeOptions } from "./make-command.js";
import type { StageContext, Stages } from "./stages.js";
import type { MakeTexts } from "./texts.js";

export interface MakeRun {
  readonly options: ResolvedMakeOptions;
  readonly folder: MakeFolder;
  readonly stages: Stages;
  readonly engine: Engine;
  readonly texts: MakeTexts;
}

/** The options that everything which runs a model takes. */
export function engineOptions({ options, engine }: MakeRun, { onProgress }: StageContext) {
  const { threads, gpuLayers, gpuMemory, onWarning, signal } = options;
  return { threads, gpuLayers, gpuMemory, onWarning, signal, engine, onProgress, ignoreMemoryLimit: true };
}

/** The queue whose machines work too, for the commands that take one. */
export function queueOptionsOf({ options: { queue, token, listen, local } }: MakeRun) {
  return { queue, token, listen: listen && listenText(listen), local };
}

/** The options that everything which encodes or decodes blocks takes. */
export function encoderOptions({ options }: MakeRun, { onProgress }: StageContext) {
  const { threads, onWarning, signal } = options;
  return { threads, onWarning, signal, onProgress };
}

/** Options of everything that encodes what the cache may have. */
export function cacheOptions({ options: { cache, cacheSize } }: MakeRun) {
  return { cache, cacheSize };
}

/** Options of a command that writes a model: goes on with its unfinished output, or throws a stale one away. */
export function writeOptions(run: MakeRun, context: StageContext) {
  const { continues } = context;
  return { ...encoderOptions(run, context), resume: continues, restart: !continues };
}
