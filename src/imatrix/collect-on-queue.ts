/** Collecting an importance matrix with the machines of a queue: their groups' sums are added here, in order. */
import { type CutText, cutText } from "../activations/cut-text.js";
import { describeTaskRun, tokenGroups } from "../activations/queue-run.js";
import type { RunProgress } from "../activations/run-text.js";
import { Savings } from "../activations/savings.js";
import { describeTaskModel } from "../activations/task-models.js";
import { runWithWindows } from "../activations/window-server.js";
import type { Engine, JobOptions } from "../engine/engine.js";
import type { ModelSource } from "../model/source.js";
import type { ImatrixTask } from "../queue/chunk-task.js";
import type { QueueSettings } from "../queue/settings.js";
import { endsGroup } from "../text/chunk-groups.js";
import { sketchOf } from "../text/text-sketch.js";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.js";
import { collectsGroups, entriesOfGroup } from "./collect-group.js";
import { type CollectParams, type CollectResult, checkpointOf, describeRun } from "./collect-job.js";
import { checkFiniteSums, GroupSums } from "./group-sums.js";
import type { Imatrix } from "./imatrix.js";

export interface QueueRun extends JobOptions<RunProgress> {
  readonly engine: Engine;
  readonly settings: QueueSettings;
  readonly source: ModelSource;
  /** Path or address of the model. */
  readonly path: string;
  readonly gpuLayers: number | undefined;
  /** Hears which machines have done how much. */
  readonly onMachines: (description: string) => void;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/** As `collectImatrix`, to the same bytes. Errors: see `runOnQueue`. */
export async function collectOnQueue(params: CollectParams, run: QueueRun): Promise<CollectResult> {
  const { engine, source, path, signal } = run;
  const cut = await runWithWindows(engine, cutText, params, [source], { signal });
  // The machines may each have windows of their own, or none.
  const { windows: _, ...model } = params.model;
  const name = describeRun({ ...params, model }, cut);
  const earlier = await earlierPart(params.checkpoint, name, cut);
  const sums = new GroupSums(earlier?.entries);
  const from = earlier?.chunkCount ?? 0;
  const { chunks, tokens } = cut.text;
  const sketch = sketchOf(tokens);
  const save = async (chunkCount: number) => {
    checkFiniteSums(sums.entries, params.model.whole.path);
    await writeCheckpoint(params.checkpoint, {
      ...checkpointOf(params),
      ...{ sketch, entries: sums.entries, chunkCount, window: 0, run: name },
    });
  };
  const { model: described, files } = await describeTaskModel({ path, source, swept: params.model }, signal);
  const task: ImatrixTask = {
    kind: "imatrix",
    ...(await describeTaskRun(cut, run)),
    models: [described],
    processOutput: params.processOutput,
    expertOutputs: params.expertOutputs,
    prediction: params.model.prediction !== undefined,
  };
  const savings = new Savings();
  const begun = performance.now();
  let saved = from;
  run.onEvent?.({ done: from, total: chunks });
  // Only who uses a queue loads what it is made of.
  const { runOnQueue } = await import("../queue/chunk-queue.js");
  await runOnQueue({
    ...run,
    ...{ task, files },
    groups: tokenGroups(cut, from),
    perform: collectsGroups(task, { ...run, model: params.model, threads: params.threads }),
    mostBytes: mostGroupBytes(source),
    async take(group, body) {
      const done = group.first + group.chunks;
      sums.add(await entriesOfGroup(group, body));
      if (done - saved >= params.saveEvery && savings.mayBegin()) {
        await savings.time(() => save(done));
        saved = done;
      }
      run.onEvent?.({ done, total: chunks });
      return { step: "imatrix", done, total: chunks, unit: "chunks" };
    },
  });
  await save(chunks);
  return { chunks, resumedFrom: from, seconds: (performance.now() - begun) / 1000, run: name };
}

/** What an earlier run has saved, if it can be gone on with at the beginning of a group. */
async function earlierPart(
  path: string,
  run: string,
  { text, sequences }: CutText,
): Promise<Imatrix | undefined> {
  const earlier = await readCheckpoint(path, run);
  return earlier && endsGroup(earlier.chunkCount, text.chunks, sequences) ? earlier : undefined;
}

/** Most bytes of an importance matrix: for each column of each matrix a sum, and what describes a tensor. */
function mostGroupBytes({ tensors }: ModelSource): number {
  return tensors.reduce((sum, { shape: [columns = 1, , ...matrices] }) => {
    const count = matrices.reduce((product, size) => product * size, 1);
    return sum + 4 * (columns + 2) * count + 1000;
  }, 1 << 20);
}
