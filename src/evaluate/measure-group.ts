/** Scoring one group of chunks, as a machine of a queue does it, and cutting the texts into groups. */
import { vocabularyAlone } from "../activations/cut-text.js";
import { Sweep, type SweptModel, sweptFiles } from "../activations/sweep.js";
import { WindowClient } from "../activations/window-client.js";
import { runWithWindows } from "../activations/window-server.js";
import type { Engine } from "../engine/engine.js";
import { defineJob } from "../engine/job.js";
import { joinFiles } from "../engine/job-files.js";
import type { ModelSource } from "../model/source.js";
import type { ScoresTask } from "../queue/chunk-task.js";
import type { PerformGroup, TokenGroup } from "../queue/group-performer.js";
import type { EvaluatedTexts } from "./evaluated-texts.js";
import { type MeasureHost, ModelMeasurement } from "./measure-job.js";
import { packScores, type ScoredPosition } from "./packed-scores.js";
import { sequencesOfAll, type TextsToTokenize, tokenizedTexts } from "./tokenized-texts.js";

export interface CutTextsParams extends TextsToTokenize {
  /** All models, and the reference. */
  readonly models: readonly SweptModel[];
}

export interface CutTexts {
  readonly texts: EvaluatedTexts;
  /** Chunks to decode together. */
  readonly sequences: number;
}

/** Cuts texts as measuring models on them would; only the vocabularies are loaded. */
export const cutEvaluatedTexts = defineJob(
  import.meta.url,
  "cutEvaluatedTexts",
  ({ models, texts }) => joinFiles(...models.map(sweptFiles), { reads: texts.map(({ path }) => path) }),
  async (params: CutTextsParams, host: MeasureHost): Promise<CutTexts> =>
    await withSweeps(params.models.map(vocabularyAlone), host, async (sweeps) => {
      const texts = await tokenizedTexts(params, sweeps);
      return { texts, sequences: sequencesOfAll(texts, sweeps) };
    }),
);

export interface MeasureGroupParams {
  readonly models: readonly SweptModel[];
  readonly reference: SweptModel | undefined;
  readonly group: TokenGroup;
  /** Tokens in a chunk. */
  readonly context: number;
  /** Chunks decoded together. */
  readonly sequences: number;
  readonly threads: number | undefined;
}

/** Scores the positions of a group, of each model. */
export const measureGroup = defineJob(
  import.meta.url,
  "measureGroup",
  ({ models, reference }) => joinFiles(...[...models, ...(reference ? [reference] : [])].map(sweptFiles)),
  async (params: MeasureGroupParams, host: MeasureHost): Promise<readonly (readonly ScoredPosition[])[]> => {
    const { models, reference, group, context, sequences } = params;
    const { first, chunks, tokens, scored = new Uint8Array(tokens.length) } = group;
    const texts = { context, chunks, tokens, scored, parts: [{ name: "group", first: 0, end: chunks }] };
    const whole = {
      ...{ ...params, texts: [], chunks: undefined, checkpoint: undefined },
      ...{ base: undefined, save: undefined, floor: false, calibrations: [] },
    };
    return await withSweeps([...models, ...(reference ? [reference] : [])], host, async (sweeps) =>
      new ModelMeasurement(whole, host, texts, sweeps, undefined, { first, sequences }).scoresOfGroup(),
    );
  },
);

/** What a machine needs to score groups: the reference, if there is one, is the last model. */
export interface GroupScorer {
  readonly engine: Engine;
  readonly sources: readonly ModelSource[];
  readonly models: readonly SweptModel[];
  readonly threads: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Performs the groups of a task; what comes of one are the packed scores of each model, one after the other. */
export function scoresGroups(
  { context, sequences, hasReference }: ScoresTask,
  { engine, sources, models, threads, signal }: GroupScorer,
): PerformGroup {
  const measured = hasReference ? models.slice(0, -1) : models;
  const reference = hasReference ? models.at(-1) : undefined;
  return async (group) => {
    const params = { models: measured, reference, group, context, sequences, threads };
    const scores = await runWithWindows(engine, measureGroup, params, sources, { signal });
    return new Uint8Array(Buffer.concat(scores.map(packScores)));
  };
}

async function withSweeps<Result>(
  models: readonly SweptModel[],
  host: MeasureHost,
  use: (sweeps: readonly Sweep[]) => Promise<Result>,
): Promise<Result> {
  const client = new WindowClient(host);
  const sweeps: Sweep[] = [];
  try {
    for (const model of models) {
      sweeps.push(new Sweep(host, client, model, sweeps.length));
    }
    return await use(sweeps);
  } finally {
    for (const sweep of sweeps) {
      sweep.close();
    }
  }
}
