/** `fit`: what a model needs to run, and whether a machine has it. */
import { shownAddress } from "../bytes/address.js";
import type { ResolvedOptionsOf } from "../contract/command.js";
import type { CacheType } from "../engine/cache-types.js";
import { Engine } from "../engine/engine.js";
import { memoryLimitBytes } from "../engine/limits.js";
import { openModel } from "../model/open.js";
import { loadedTensors } from "../model/prediction-facts.js";
import type { ModelSource } from "../model/source.js";
import { tensorsWithRoles } from "../model/summary.js";
import { loadRecipe } from "../recipe/presets.js";
import type { Recipe } from "../recipe/recipe.js";
import { chooseTypes, type TensorToPlan } from "../recipe/type-plan.js";
import { schemeOf } from "../remote/address-schemes.js";
import { type FitOptions, fitCommand } from "./fit-command.js";
import type { MemoryNeed } from "./formula.js";
import { paddedContext } from "./kv-cache.js";
import { type Machine, parseMachine } from "./machines.js";
import { longestContext, weightsOn } from "./placement.js";
import { longestAskedContext, PlannedModel } from "./planned-memory.js";
import { serverCommand, shellWord } from "./server-command.js";

export interface FitResult {
  readonly model: string;
  /** Name of the recipe whose types the figures are for; undefined: the model as it is. */
  readonly recipe: string | undefined;
  /** Tokens for each sequence, as llama.cpp rounds them. */
  readonly context: number;
  readonly sequences: number;
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
  /** All tensors. */
  readonly weightsBytes: number;
  /** Part of the weights that stays in the computer's memory if the machine is a card: the token embedding. */
  readonly hostBytes: number;
  /** KV cache and recurrent states of all sequences. */
  readonly kvBytes: number;
  /** What one more token of context costs in one sequence. */
  readonly kvBytesPerToken: number;
  /** What a sequence takes whatever the context: windows of sliding-window layers and recurrent states. */
  readonly kvFixedBytes: number;
  readonly computeBytes: number;
  /** Weights, cache and compute buffers. */
  readonly totalBytes: number;
  /** Of these, what the machine must hold: all but `hostBytes`. */
  readonly neededBytes: number;
  readonly memory: Machine;
  /** What the machine has left for the model: its bytes less the margin. */
  readonly availableBytes: number;
  readonly fits: boolean;
  /** Longest context that fits, at most what the model was trained for; 0 if none does. */
  readonly maxContext: number;
  readonly trainedContext: number;
  /** Who gave the sizes of cache and compute buffers. */
  readonly source: MemoryNeed["source"];
  /** What to know about the figures. */
  readonly notes: readonly string[];
  /** The llama-server command line. */
  readonly command: string;
}

/**
 * Reads the header only. Throws a UsageError for options that make no sense, a MalformedInputError for damaged
 * files or such that lack what the computation needs.
 */
export async function fit(given: FitOptions): Promise<FitResult> {
  const options = fitCommand.read(given);
  const source = await openModel(options.model, { signal: options.signal });
  const engine = options.library ? (options.engine ?? new Engine()) : undefined;
  try {
    return await fitSource(source, engine, options);
  } finally {
    await source.close();
    if (options.engine === undefined) {
      await engine?.close();
    }
  }
}

async function fitSource(
  source: ModelSource,
  engine: Engine | undefined,
  options: ResolvedOptionsOf<typeof fitCommand>,
): Promise<FitResult> {
  const { parallel: sequences, cacheTypeK, cacheTypeV, ctx } = options;
  const machine = parseMachine(options.memory ?? "host RAM", memoryLimitBytes(), options.margin);
  const recipe = options.recipe === undefined ? undefined : await loadRecipe(options.recipe);
  const tensors = recipe === undefined ? source.tensors : typesBy(recipe, source);
  const planned = new PlannedModel({ metadata: source.metadata, tensors }, engine, options.signal);
  try {
    const needOf = (contextLength: number) =>
      planned.need({ contextLength, sequences, keyType: cacheTypeK, valueType: cacheTypeV });
    const all = tensorsWithRoles({ tensors });
    const loaded = loadedTensors(all, planned.architecture.name);
    const weights = weightsOn(machine, loaded);
    const availableBytes = machine.bytes - machine.marginBytes;
    const trainedContext = planned.architecture.contextLength;
    const room = availableBytes - weights.neededBytes;
    const maxContext = await longestContext(room, trainedContext, needOf);
    const context = paddedContext(ctx ?? (maxContext || Math.min(trainedContext, 4096)));
    const need = await needOf(context);
    const neededBytes = weights.neededBytes + need.kvBytes + need.computeBytes;
    const settings = { context, sequences, cacheTypeK, cacheTypeV };
    return {
      model: shownAddress(options.model),
      recipe: recipe?.name,
      ...settings,
      weightsBytes: weights.bytes,
      hostBytes: weights.hostBytes,
      ...need,
      totalBytes: weights.bytes + need.kvBytes + need.computeBytes,
      neededBytes,
      memory: machine,
      availableBytes,
      fits: neededBytes <= availableBytes,
      maxContext,
      trainedContext,
      notes: [
        ...notesOn(planned, need, { context, sequences, trainedContext }),
        ...predictionNote(sumOf(all) - sumOf(loaded)),
      ],
      command: serverCommand(
        modelWords(recipe === undefined ? shownAddress(options.model) : "quantized.gguf"),
        settings,
      ),
    };
  } finally {
    await planned.close();
  }
}

/** The tensors as a recipe makes them, with an importance matrix that knows all of them. */
function typesBy(recipe: Recipe, { tensors, metadata }: ModelSource): TensorToPlan[] {
  const planned = chooseTypes({ tensors, metadata, recipe, hasImportance: () => true });
  return planned.tensors.map(({ name, shape, to }) => ({ name, shape, type: to }));
}

function notesOn(
  planned: PlannedModel,
  need: MemoryNeed,
  { context, sequences, trainedContext }: { context: number; sequences: number; trainedContext: number },
): string[] {
  const notes: string[] = [];
  if (planned.note !== undefined) {
    notes.push(`llama.cpp could not be asked: ${planned.note}`);
  }
  if (need.source === "formula") {
    const isTooLong = context * sequences > longestAskedContext;
    notes.push(
      isTooLong
        ? `the compute buffers are an estimate; llama.cpp is asked about contexts of up to ${longestAskedContext} tokens.`
        : "the compute buffers are an estimate; llama.cpp's library would tell their size.",
    );
  } else {
    notes.push(
      "sizes are those of llama.cpp's build on this computer; other backends' compute buffers differ.",
    );
  }
  if (context > trainedContext) {
    notes.push(`the model was trained for ${trainedContext} tokens of context.`);
  }
  return notes;
}

function sumOf(tensors: readonly { readonly bytes: number }[]): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes, 0);
}

function predictionNote(bytesLeft: number): string[] {
  return bytesLeft === 0
    ? []
    : [
        `${bytesLeft} bytes of layers that predict further tokens are not counted: llama.cpp loads them only to draft (--spec-type draft-mtp).`,
      ];
}

/** How llama-server is told of a model; it downloads remote ones itself. What is not GGUF is converted first. */
function modelWords(model: string): string[] {
  const scheme = schemeOf(model);
  const words = scheme ? (scheme.serverWords(model) ?? ["-m", "converted.gguf"]) : ["-m", model];
  return words.map(shellWord);
}
