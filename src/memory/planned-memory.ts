/**
 * What a model would take in memory, before there is a file that llama.cpp could load: from llama.cpp itself by way
 * of a file that has the model's header and nothing else, from our own formulas if it cannot be asked.
 */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Engine } from "../engine/engine.js";
import { measureMemory, type PlannedMemory } from "../engine/measure-memory.js";
import { CancelledError, LopsidedError } from "../errors.js";
import { planGguf, type TensorToLayOut } from "../gguf/layout.js";
import type { Metadata } from "../gguf/metadata.js";
import { Architecture } from "../model/architecture.js";
import { formulaNeed, type MemoryNeed } from "./formula.js";
import { type CacheOptions, type CacheSize, cacheLayers, cacheSize } from "./kv-cache.js";

/** Why llama.cpp could not be asked, or why its figures differ from the formula; undefined if neither. */
export interface MemoryNote {
  readonly note?: string | undefined;
}

/** Longest context that llama.cpp is asked about, of all sequences: it takes 50 bytes for each token to answer. */
export const longestAskedContext = 2 ** 23;

/** A model whose memory is asked for again and again: for one context after another. */
export class PlannedModel {
  readonly architecture: Architecture;
  /** The header-only file, once it is written. */
  #skeleton: Promise<{ folder: string; path: string }> | undefined;
  #unavailable: string | undefined;

  readonly #model: { readonly metadata: Metadata; readonly tensors: readonly TensorToLayOut[] };
  readonly #engine: Engine | undefined;
  readonly #signal: AbortSignal | undefined;

  constructor(
    model: { readonly metadata: Metadata; readonly tensors: readonly TensorToLayOut[] },
    engine: Engine | undefined,
    signal?: AbortSignal | undefined,
  ) {
    this.#model = model;
    this.#engine = engine;
    this.#signal = signal;
    this.architecture = new Architecture(model.metadata);
  }

  /** Why llama.cpp could not be asked; undefined if it was. */
  get note(): string | undefined {
    return this.#unavailable;
  }

  /** What a context takes besides the weights. */
  async need(options: CacheOptions): Promise<MemoryNeed> {
    const formula = cacheSize(cacheLayers(this.architecture), options);
    const measured = await this.#ask(options);
    if (measured === undefined) {
      return formulaNeed(this.architecture, options);
    }
    const perToken = { kvBytesPerToken: formula.bytesPerToken, kvFixedBytes: formula.fixedBytes };
    const { computeBytes } = measured;
    return { kvBytes: exactCache(measured, formula), ...perToken, computeBytes, source: "llama.cpp" };
  }

  async #ask(options: CacheOptions): Promise<PlannedMemory | undefined> {
    if (this.#engine === undefined || this.#unavailable !== undefined) {
      return undefined;
    }
    const { contextLength, sequences = 1, keyType = "F16", valueType = "F16", microBatch = 512 } = options;
    if (contextLength * sequences > longestAskedContext) {
      return undefined;
    }
    try {
      this.#skeleton ??= writeSkeleton(this.#model);
      const { path } = await this.#skeleton;
      const context = {
        contextLength,
        sequences,
        keyCacheType: keyType,
        valueCacheType: valueType,
        microBatchSize: microBatch,
        windowedCache: true,
        outputs: sequences,
        beyondTraining: true,
      };
      return await this.#engine.run(measureMemory, { model: { path }, context }, { signal: this.#signal });
    } catch (error) {
      if (!(error instanceof LopsidedError) || error instanceof CancelledError) {
        throw error;
      }
      this.#unavailable = error.message;
      return undefined;
    }
  }

  async close(): Promise<void> {
    const skeleton = await this.#skeleton?.catch(() => undefined);
    if (skeleton !== undefined) {
      await rm(skeleton.folder, { recursive: true, force: true });
    }
  }
}

/**
 * llama.cpp rounds what it reports to 0.01 MiB: where the formula agrees within that, the formula's exact figure
 * is taken, and llama.cpp's otherwise.
 */
function exactCache({ cacheBytes }: PlannedMemory, { bytes }: CacheSize): number {
  // A model reports up to eight caches (DeepSeek V4), each rounded, in single precision.
  const tolerance = 8 * 0.005 * 2 ** 20 + 1e-6 * bytes;
  return Math.abs(cacheBytes - bytes) <= tolerance ? bytes : cacheBytes;
}

/**
 * Writes the model's header into a file of the model's length without contents (which takes no space on the disk),
 * for a load that reads no weights. The vocabulary is left out: it has no part in the memory and takes a second.
 */
async function writeSkeleton({
  metadata,
  tensors,
}: {
  readonly metadata: Metadata;
  readonly tensors: readonly TensorToLayOut[];
}): Promise<{ folder: string; path: string }> {
  const architecture = new Architecture(metadata);
  const kept = [...metadata].filter(([key]) => !key.startsWith("tokenizer."));
  const layout = planGguf({
    metadata: new Map([
      ...kept,
      [`${architecture.name}.vocab_size`, { type: "uint32", value: architecture.vocabularySize }],
      ["tokenizer.ggml.model", { type: "string", value: "no_vocab" }],
    ]),
    tensors,
  });
  const folder = await mkdtemp(join(tmpdir(), "lopsided-"));
  const path = join(folder, "header.gguf");
  const file = await open(path, "w");
  try {
    await file.write(layout.header, 0, layout.header.byteLength, 0);
    await file.truncate(layout.byteLength);
  } finally {
    await file.close();
  }
  return { folder, path };
}
