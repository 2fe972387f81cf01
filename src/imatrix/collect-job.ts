/** The part of an imatrix run that happens beside the model: decode the chunks, collect, save what is there. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import {
  type OpenText,
  openText,
  type RunPlace,
  type RunTextParams,
  runText,
  runTextFiles,
  type TextHost,
} from "../activations/run-text.js";
import { Savings } from "../activations/savings.js";
import { syncFolder } from "../bytes/disk.js";
import { defineJob } from "../engine/job.js";
import { joinFiles } from "../engine/job-files.js";
import { type KeptParams, WindowKept } from "../kept/collect.js";
import { type MomentsPass, WindowMoments } from "../moments/collect-job.js";
import { chunksPerGroup, endsGroup } from "../text/chunk-groups.js";
import { sketchOf } from "../text/text-sketch.js";
import { readCheckpoint, runName, writeCheckpoint } from "./checkpoint.js";
import { type CollectorOptions, ImatrixCollector } from "./collector.js";
import { ExpertOutputs, withOutputs } from "./expert-outputs.js";
import { checkFiniteSums, GroupSums } from "./group-sums.js";
import type { Imatrix } from "./imatrix.js";

export interface CollectParams extends CollectorOptions, RunTextParams {
  /** Files of the model, or what else stands for it. */
  readonly identity: string;
  /** Where the statistics are saved, under way and at the end. */
  readonly checkpoint: string;
  /** Whether what routed experts add to their layers is collected too. */
  readonly expertOutputs: boolean;
  /** Chunks between two savings. */
  readonly saveEvery: number;
  /** Moments to collect along with the importance matrix, for each window. */
  readonly moments?: readonly (MomentsPass | undefined)[] | undefined;
  /** Activations to keep along with the importance matrix. */
  readonly kept?: KeptParams | undefined;
  /**
   * The run stands still when so many windows are done, with all that it takes to go on. Of moments and activations
   * that lie apart, those of the last of these windows are collected. Undefined: it comes to its end.
   */
  readonly windowsWanted?: number | undefined;
}

export interface CollectResult {
  readonly chunks: number;
  /** Chunks that an earlier run had done. */
  readonly resumedFrom: number;
  /** Time of this run's chunks, without loading. */
  readonly seconds: number;
  /** The name that its checkpoint and files bear. */
  readonly run: string;
}

/** Collects the statistics of a text into the checkpoint file; continues from it if it is of the same run. */
export const collectImatrix = defineJob(
  import.meta.url,
  "collectImatrix",
  (params) =>
    joinFiles(
      runTextFiles(params),
      { writes: [params.checkpoint] },
      { writes: (params.moments ?? []).flatMap((pass) => (pass ? [pass.output] : [])) },
      { writes: params.kept ? [params.kept.path] : [] },
    ),
  async (params: CollectParams, host: TextHost): Promise<CollectResult> => {
    const opened = await openText(params, host);
    try {
      return await collect(opened, describeRun(params, opened), params, host);
    } finally {
      opened.sweep.close();
    }
  },
);

async function collect(
  opened: OpenText,
  run: string,
  params: CollectParams,
  host: TextHost,
): Promise<CollectResult> {
  const { sweep, text } = opened;
  const { windowsWanted = sweep.windows } = params;
  if (windowsWanted === 0) {
    return { chunks: text.chunks, resumedFrom: 0, seconds: 0, run };
  }
  const earlier = await readCheckpoint(params.checkpoint, run);
  const kept = params.kept && new WindowKept(params.kept, opened, run);
  const keepsOf = (window: number) => !params.kept?.isApart || window === windowsWanted - 1;
  const keepsOn = ({ window, chunks }: RunPlace) =>
    kept === undefined || !keepsOf(window) || kept.goOn(sweep.range(window), chunks);
  const place = earlier && placeToGoOn(earlier, opened, params);
  const from = place && keepsOn(place) ? place : undefined;
  if (kept && earlier && from === undefined) {
    // A checkpoint must not outlast the rows that it speaks of.
    await rm(params.checkpoint);
    await syncFolder(dirname(params.checkpoint));
  }
  const before = from && earlier?.entries;
  const sums = new GroupSums(before);
  const collector = new ImatrixCollector(params);
  const outputs = params.expertOutputs ? new ExpertOutputs() : undefined;
  const sketch = sketchOf(text.tokens);
  // A run in one piece saves as often as it is told to; one in windows would have to do so in each of them.
  const savings = sweep.windows > 1 ? new Savings() : new Savings(1);
  const save = async ({ window, chunks }: RunPlace) => {
    checkFiniteSums(sums.entries, params.model.whole.path);
    sweep.sync();
    kept?.sync();
    await writeCheckpoint(params.checkpoint, {
      ...checkpointOf(params),
      sketch,
      entries: sums.entries,
      chunkCount: chunks,
      window,
      run,
    });
  };
  const momentsOf = new WindowMoments(params, host, text.chunks);
  let saved = from?.chunks ?? 0;
  try {
    const seconds = await runText(opened, params, host, {
      needsOutput: params.processOutput,
      streamPath: streamPath(params.checkpoint),
      ...(from && { from }),
      until: windowsWanted,
      async observersOf(range, window) {
        collector.firstLayer = range.from;
        if (outputs) {
          outputs.firstLayer = range.from;
        }
        const chunks = window === from?.window ? from.chunks : 0;
        return [
          collector,
          ...(outputs ? [outputs] : []),
          ...(keepsOf(window) ? ((await kept?.begin(range, chunks)) ?? []) : []),
          ...(await momentsOf.begin(range, window)),
        ];
      },
      async onDone(place) {
        if (!endsGroup(place.chunks, text.chunks, opened.sequences)) {
          return;
        }
        sums.add(withOutputs(collector.take(), outputs?.take()));
        if (sweep.windows > 1 && params.moments?.[place.window] !== undefined) {
          return;
        }
        const isDue = Math.floor(place.chunks / params.saveEvery) !== Math.floor(saved / params.saveEvery);
        if (isDue && savings.mayBegin()) {
          await savings.time(() => save(place));
          saved = place.chunks;
        }
      },
      async onWindow(window) {
        kept?.end(sweep.range(window), sums.entries);
        await momentsOf.end(window);
        saved = 0;
        // However long it takes: the next window writes over what this one read, and an earlier place would go on from that.
        if (window + 1 < sweep.windows) {
          await savings.time(() => save({ window: window + 1, chunks: 0 }));
        }
      },
    });
    if (windowsWanted === sweep.windows) {
      await save({ window: sweep.windows - 1, chunks: text.chunks });
    }
    return { chunks: text.chunks, resumedFrom: from ? chunksDone(from, opened) : 0, seconds, run };
  } finally {
    kept?.close();
    await momentsOf.close();
  }
}

/** Where the run with the checkpoint at `path` keeps the residual stream. */
export function streamPath(checkpoint: string): string {
  return `${checkpoint}.stream`;
}

/**
 * Where to go on: at the beginning of a group, so that the sums come out the same.
 * Moments are not saved under way: a window that collects some starts at the beginning.
 */
function placeToGoOn(
  { chunkCount, window = 0 }: Imatrix,
  { sweep, text, sequences }: OpenText,
  { moments, checkpoint, windowsWanted = Infinity }: CollectParams,
): RunPlace | undefined {
  const hasStream = sweep.windows === 1 || existsSync(streamPath(checkpoint));
  const fits = chunkCount <= text.chunks && endsGroup(chunkCount, text.chunks, sequences);
  const lacksMoments = moments?.some(
    (pass, of) => pass !== undefined && (of < window || (of === window && chunkCount > 0)),
  );
  const isBeyond = window >= Math.min(sweep.windows, windowsWanted);
  if (!hasStream || !fits || isBeyond || lacksMoments) {
    return undefined;
  }
  return window === 0 && chunkCount === 0 ? undefined : { window, chunks: chunkCount };
}

/** Whole chunks' worth of what is done at a place. */
function chunksDone({ window, chunks }: RunPlace, { sweep, text }: OpenText): number {
  const { from, to } = sweep.range(window);
  const layers = sweep.range(sweep.windows - 1).to;
  return sweep.windows === 1 ? chunks : Math.floor((text.chunks * from + chunks * (to - from)) / layers);
}

/** What a checkpoint has beside its statistics. */
export function checkpointOf({ text, context, checkpoint }: CollectParams): Imatrix {
  return {
    name: checkpoint,
    format: "gguf",
    entries: new Map(),
    datasets: [text.path],
    chunkCount: 0,
    chunkSize: context,
    priorWeight: undefined,
  };
}

/** Everything that the statistics depend on, and the stream between windows. */
export function describeRun(
  params: CollectParams,
  { text, sequences }: Pick<OpenText, "text" | "sequences">,
): string {
  const { identity, processOutput, expertOutputs, context, model, kept } = params;
  const { windows, prediction } = model;
  const groupSize = chunksPerGroup(sequences);
  const facts = { identity, processOutput, context, groupSize, windows: windows?.ranges, prediction, kept };
  return runName(expertOutputs ? { ...facts, expertOutputs } : facts, text.tokens);
}
