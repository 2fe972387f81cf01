/** Where the weights of a model that writes answers lie, if graphics processors do not hold all of them. */
import type { ContextOptions } from "../engine/context.js";
import type { Engine } from "../engine/engine.js";
import { graphicsFor } from "../engine/gpus.js";
import { describeModel } from "../engine/jobs.js";
import { gigabytes } from "../engine/limits.js";
import { measureMemory } from "../engine/measure-memory.js";
import type { ModelOptions } from "../engine/model.js";
import { tensorBytes } from "../gguf/layout.js";
import { openGguf } from "../model/gguf-model.js";
import { describePlacement, placeOnGpus } from "../model/gpu-placement.js";

export interface PlacedModel {
  readonly model: ModelOptions;
  /** What the user should know of it, a sentence. */
  readonly note?: string;
}

/**
 * Leaves a model as it is that fits, or whose layers the user has placed. The cache and the buffers of the context
 * are taken to lie beside the weights.
 */
export async function placeModel(
  engine: Engine,
  model: ModelOptions,
  context: (trainedContextLength: number) => ContextOptions,
  { gpuMemory, signal }: { readonly gpuMemory?: number | undefined; readonly signal?: AbortSignal },
): Promise<PlacedModel> {
  const graphics = await graphicsFor(engine, { gpuLayers: model.gpuLayers, gpuMemory, signal });
  if (graphics === undefined) {
    return { model };
  }
  const source = await openGguf(model.path);
  try {
    const { trainedContextLength } = await engine.run(describeModel, {
      model: { ...model, measureOnly: true },
    });
    const { cacheBytes, devices } = await engine.run(
      measureMemory,
      { model, context: context(trainedContextLength) },
      { signal },
    );
    const buffers = graphics.names.map((name) => devices.get(name)?.computeBytes ?? 0);
    const room = buffers.reduce((left, bytes) => left - bytes, graphics.roomBytes - cacheBytes);
    const weights = source.tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
    if (weights <= room) {
      return { model };
    }
    const placement = placeOnGpus(source, room);
    return {
      model: { ...model, ...placement },
      note: `${model.path}: does not fit in the ${gigabytes(graphics.roomBytes)} of ${graphics.names.join(", ")}; ${describePlacement(placement)}.`,
    };
  } finally {
    await source.close();
  }
}
