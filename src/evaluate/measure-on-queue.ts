/** Measuring models with the machines of a queue: the scores of their groups are pooled here, in order. */
import { describeTaskRun, tokenGroups } from "../activations/queue-run.js";
import type { SweptModel } from "../activations/sweep.js";
import { describeTaskModel } from "../activations/task-models.js";
import { runWithWindows } from "../activations/window-server.js";
import type { Engine } from "../engine/engine.js";
import { MalformedInputError } from "../errors.js";
import type { ModelSource } from "../model/source.js";
import type { ScoresTask } from "../queue/chunk-task.js";
import type { TokenGroup } from "../queue/group-performer.js";
import type { QueueSettings } from "../queue/settings.js";
import { chunksPerGroup } from "../text/chunk-groups.js";
import { withCalibration } from "./calibrated-share.js";
import { scoredIn } from "./evaluated-texts.js";
import { MeasureCheckpoint } from "./measure-checkpoint.js";
import { type CutTexts, cutEvaluatedTexts, scoresGroups } from "./measure-group.js";
import { type MeasureEvent, type MeasureParams, type MeasureResult, measurementName } from "./measure-job.js";
import { packedScoreBytes, type ScoredPosition, unpackScores } from "./packed-scores.js";
import { Scores } from "./scores.js";

export interface MeasureQueueRun {
  readonly engine: Engine;
  readonly settings: QueueSettings;
  /** Of all models, the reference the last. */
  readonly sources: readonly ModelSource[];
  /** Their paths or addresses. */
  readonly paths: readonly string[];
  readonly gpuLayers: number | undefined;
  readonly onEvent: (event: MeasureEvent) => void;
  /** Hears which machines have done how much. */
  readonly onMachines: (description: string) => void;
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * As `measure`, with the same scores; neither routers nor the reference with itself are compared. Errors: see
 * `runOnQueue`.
 */
export async function measureOnQueue(params: MeasureParams, run: MeasureQueueRun): Promise<MeasureResult> {
  const { engine, sources, signal } = run;
  const models = [...params.models, ...(params.reference ? [params.reference] : [])];
  const cut = await runWithWindows(engine, cutEvaluatedTexts, { ...params, models }, sources, { signal });
  const { texts } = cut;
  const { task, files } = await taskOf(params, cut, run);
  const scores = params.models.map(() => new Scores(texts));
  const checkpoint =
    params.checkpoint &&
    (await MeasureCheckpoint.open(
      params.checkpoint.path,
      measurementName(
        {
          models: params.models.map(withoutWindows),
          reference: params.reference && withoutWindows(params.reference),
          save: undefined,
        },
        params.checkpoint,
        texts,
      ),
    ));
  try {
    for (const [model, ofModel] of scores.entries()) {
      for (const { chunk, score } of checkpoint?.scores(model) ?? []) {
        ofModel.add(chunk, score);
      }
    }
    const from = checkpoint?.chunks ?? 0;
    const begun = performance.now();
    run.onEvent({ done: from, total: texts.chunks, ppl: undefined });
    // Only who uses a queue loads what it is made of.
    const { runOnQueue } = await import("../queue/chunk-queue.js");
    await runOnQueue({
      ...run,
      ...{ task, files },
      groups: tokenGroups({ ...cut, text: texts }, from),
      perform: scoresGroups(task, { ...run, models, threads: params.threads }),
      mostBytes: packedScoreBytes * scores.length * texts.context * chunksPerGroup(cut.sequences),
      async take(group, body) {
        const done = group.first + group.chunks;
        const found = scoresOfGroup(cut, group, body, scores.length);
        for (const [model, positions] of found.entries()) {
          for (const { chunk, score } of positions) {
            scores[model]?.add(chunk, score);
          }
        }
        await checkpoint?.saveScores(done, found);
        run.onEvent({ done, total: texts.chunks, ppl: scores[0]?.soFar() });
        return { step: "perplexity", done, total: texts.chunks, unit: "chunks" };
      },
    });
    const seconds = (performance.now() - begun) / 1000;
    await checkpoint?.remove(models.length);
    return {
      context: texts.context,
      chunks: texts.chunks,
      measured: scores.map((ofModel, model) =>
        withCalibration(ofModel.result(), params.calibrations[model], texts),
      ),
      seconds,
    };
  } finally {
    await checkpoint?.close();
  }
}

/** The machines may each have windows of their own, or none. */
function withoutWindows({ windows: _, ...model }: SweptModel): SweptModel {
  return model;
}

/** What is done with the groups, and the files of the models. */
async function taskOf(
  { models, reference }: MeasureParams,
  { texts, sequences }: CutTexts,
  run: MeasureQueueRun,
): Promise<{ readonly task: ScoresTask; readonly files: ReadonlyMap<string, string> }> {
  const { sources, paths, signal } = run;
  const described = [];
  for (const [i, swept] of [...models, ...(reference ? [reference] : [])].entries()) {
    const model = { path: paths[i] ?? "", source: sources[i] as ModelSource, swept };
    described.push(await describeTaskModel(model, signal));
  }
  return {
    task: {
      kind: "scores",
      ...(await describeTaskRun({ text: texts, sequences }, run)),
      models: described.map(({ model }) => model),
      hasReference: reference !== undefined,
    },
    files: new Map(described.flatMap(({ files }) => [...files])),
  };
}

/** Scores of each model. Throws a MalformedInputError if they are not those of the group. */
function scoresOfGroup(
  { texts }: CutTexts,
  { first, chunks }: TokenGroup,
  body: Uint8Array,
  models: number,
): ScoredPosition[][] {
  const end = first + chunks;
  const positions = scoredIn(texts, first, end);
  const scores = unpackScores(body);
  const isGroup = scores.every(
    ({ chunk, score }) => chunk >= first && chunk < end && !Number.isNaN(score.nll),
  );
  if (body.byteLength !== packedScoreBytes * positions * models || !isGroup) {
    throw new MalformedInputError(
      `a worker sent scores of other positions than chunks ${first + 1} to ${end}.`,
    );
  }
  return Array.from({ length: models }, (_, model) =>
    scores.slice(model * positions, (model + 1) * positions),
  );
}
