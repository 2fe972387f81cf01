/** The statistics of one group of chunks, as a machine of a queue computes them, and what they are on the way. */
import { runText, type TextHost } from "../activations/run-text.js";
import { Sweep, type SweptModel, sweptFiles } from "../activations/sweep.js";
import { WindowClient } from "../activations/window-client.js";
import { runWithWindows } from "../activations/window-server.js";
import { MemorySource } from "../bytes/source.js";
import type { Engine } from "../engine/engine.js";
import { defineJob } from "../engine/job.js";
import type { ModelSource } from "../model/source.js";
import type { ImatrixTask } from "../queue/chunk-task.js";
import type { PerformGroup, TokenGroup } from "../queue/group-performer.js";
import { type CollectorOptions, ImatrixCollector } from "./collector.js";
import { ExpertOutputs, withOutputs } from "./expert-outputs.js";
import { ggufParts, readImatrixGguf } from "./gguf.js";
import { checkFiniteSums } from "./group-sums.js";
import type { ImatrixEntry } from "./imatrix.js";

export interface CollectGroupParams extends CollectorOptions {
  readonly model: SweptModel;
  readonly group: TokenGroup;
  /** Tokens in a chunk. */
  readonly context: number;
  /** Chunks decoded together. */
  readonly sequences: number;
  readonly expertOutputs: boolean;
  readonly threads: number | undefined;
}

/** Collects the statistics of a group. */
export const collectGroup = defineJob(
  import.meta.url,
  "collectGroup",
  ({ model }) => sweptFiles(model),
  async (params: CollectGroupParams, host: TextHost): Promise<ReadonlyMap<string, ImatrixEntry>> => {
    const { model, group, context, sequences, processOutput } = params;
    const sweep = new Sweep(host, new WindowClient(host), model, 0);
    try {
      const collector = new ImatrixCollector(params);
      const outputs = params.expertOutputs ? new ExpertOutputs() : undefined;
      const observers = outputs ? [collector, outputs] : [collector];
      await runText({ sweep, text: { context, ...group }, sequences }, params, host, {
        needsOutput: processOutput,
        observersOf(range) {
          for (const observer of observers) {
            observer.firstLayer = range.from;
          }
          return observers;
        },
      });
      const entries = withOutputs(collector.take(), outputs?.take());
      checkFiniteSums(entries, model.whole.name ?? model.whole.path);
      return entries;
    } finally {
      sweep.close();
    }
  },
);

/** What a machine needs to run groups. */
export interface GroupRunner {
  readonly engine: Engine;
  readonly source: ModelSource;
  readonly model: SweptModel;
  readonly threads: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Performs the groups of a task; what comes of one is an importance matrix in GGUF. */
export function collectsGroups(task: ImatrixTask, runner: GroupRunner): PerformGroup {
  const { context, sequences, processOutput, expertOutputs } = task;
  const { engine, source, model, threads, signal } = runner;
  return async (group) => {
    const params = { model, group, context, sequences, processOutput, expertOutputs, threads };
    const entries = await runWithWindows(engine, collectGroup, params, [source], { signal });
    const imatrix = {
      ...{ name: "group", format: "gguf" as const, entries, datasets: [], priorWeight: undefined },
      ...{ chunkCount: group.chunks, chunkSize: context },
    };
    return new Uint8Array(Buffer.concat([...ggufParts(imatrix)]));
  };
}

/** The statistics in what came of a group. Throws a MalformedInputError if there are none. */
export async function entriesOfGroup(
  { first, chunks }: TokenGroup,
  body: Uint8Array,
): Promise<ReadonlyMap<string, ImatrixEntry>> {
  const name = `the statistics of chunks ${first + 1} to ${first + chunks}`;
  return (await readImatrixGguf(new MemorySource(name, body))).entries;
}
