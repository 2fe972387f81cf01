/**
 * Fitting scales in one sweep over the layers. Each layer of the source is run on the source's residual stream, ours on
 * ours, whose lower layers have their new scales already. What is left of the difference between the two streams is what
 * the layer's experts are fitted to, one expert after the other; then our layer is run again, so that the next one sees
 * what it will see. A layer whose error does not fall on text that was held out stays as it was.
 */
import { createHash } from "node:crypto";
import type { RoutedShape } from "../activations/routed-input.js";
import { type OpenWindow, Sweep, type SweptModel, sweptFiles } from "../activations/sweep.js";
import { WindowClient } from "../activations/window-client.js";
import type { WindowReply, WindowRequest } from "../activations/window-messages.js";
import { defineJob, type JobHost } from "../engine/job.js";
import { joinFiles } from "../engine/job-files.js";
import { defaultThreads } from "../engine/threads.js";
import { CancelledError, MalformedInputError, UsageError } from "../errors.js";
import { ExpertScales } from "../quants/output-aware/expert-scales.js";
import { loadLinearAlgebra } from "../quants/output-aware/load.js";
import { batchesOf, cutIntoChunks, sequencesTogether, type TextChunks } from "../text/chunks.js";
import { readPlainText, tokensOf } from "../text/text.js";
import type { PlainText } from "../text/text-input.js";
import { ExpertInputs, type RoutedTokens, routedTokensOf } from "./expert-inputs.js";
import { FitCheckpoint, fittedStreamPath, type LayerScales } from "./fit-checkpoint.js";
import { FitTeam } from "./fit-team.js";
import type { FittedLayer } from "./fitted-layers.js";
import { inWindow, LayerWeights } from "./layer-weights.js";

export interface FitParams {
  /** Both are run in windows of one layer. */
  readonly source: SweptModel;
  readonly quantized: SweptModel;
  readonly layers: readonly FittedLayer[];
  readonly text: PlainText;
  /** Tokens in a chunk. */
  readonly context: number;
  /** Most chunks; all of the text if undefined. */
  readonly chunks: number | undefined;
  readonly threads: number | undefined;
  /** Where unfinished work is kept, and what stands for the contents of the models. */
  readonly checkpoint: { readonly path: string; readonly identity: string };
}

/** How far the fit is, in any unit, and the layer it is at. */
export interface FitEvent {
  readonly done: number;
  readonly total: number;
  readonly layer: number;
}

export interface FitOutcome {
  readonly layers: readonly LayerScales[];
  readonly tokens: number;
  /** Layers that an interrupted run had done already. */
  readonly resumedFrom: number;
}

type FitHost = JobHost<FitEvent | WindowRequest, WindowReply>;

/**
 * Of so many chunks one is held out, to see whether what was fitted holds. Of a text of fewer it is the last one of so
 * many tokens of every chunk.
 */
const heldOutEvery = 8;

/** Fits the scales of all layers. */
export const fitScales = defineJob(
  import.meta.url,
  "fitScales",
  ({ source, quantized, text, checkpoint }: FitParams) =>
    joinFiles(sweptFiles(source), sweptFiles(quantized), { reads: [text.path], writes: [checkpoint.path] }),
  async (params: FitParams, host: FitHost): Promise<FitOutcome> => {
    const client = new WindowClient(host);
    const sweeps: Sweep[] = [];
    let checkpoint: FitCheckpoint | undefined;
    let helpers: FitTeam | undefined;
    try {
      const source = new Sweep(host, client, params.source, 0);
      sweeps.push(source);
      const whole = { ...params.quantized.whole, plainWeights: true };
      const quantized = new Sweep(host, client, { ...params.quantized, whole }, 1);
      sweeps.push(quantized);
      const text = await textOf(params, source, quantized);
      checkpoint = await FitCheckpoint.open(params.checkpoint.path, runOf(params, text));
      const module = loadLinearAlgebra();
      const { threads = defaultThreads() } = params;
      helpers = await FitTeam.start(module, threads - 1, host.isCancelled);
      const experts = new ExpertScales(module, helpers);
      return await new ScalesFit(params, host, text, { source, quantized }, checkpoint, experts).run();
    } finally {
      await helpers?.close();
      await checkpoint?.close();
      for (const sweep of sweeps) {
        sweep.close();
      }
    }
  },
);

class ScalesFit {
  readonly #params: FitParams;
  readonly #host: FitHost;
  readonly #text: TextChunks;
  readonly #sequences: number;
  readonly #source: Sweep;
  readonly #quantized: Sweep;
  readonly #checkpoint: FitCheckpoint;
  readonly #experts: ExpertScales;
  #tokens: RoutedTokens | undefined;
  #layer = 0;
  /** Parts of the layer's work that are done, of four. */
  #parts = 0;

  constructor(
    params: FitParams,
    host: FitHost,
    text: TextChunks,
    { source, quantized }: { readonly source: Sweep; readonly quantized: Sweep },
    checkpoint: FitCheckpoint,
    experts: ExpertScales,
  ) {
    this.#params = params;
    this.#host = host;
    this.#text = text;
    this.#source = source;
    this.#quantized = quantized;
    this.#checkpoint = checkpoint;
    this.#experts = experts;
    const together = [source, quantized].map(({ facts }) => sequencesTogether(text.context, 0, facts));
    this.#sequences = Math.min(...together);
  }

  async run(): Promise<FitOutcome> {
    const layers = [...this.#checkpoint.layers];
    const resumedFrom = layers.length;
    const { path } = this.#params.checkpoint;
    const common = { text: this.#text, sequences: this.#sequences };
    const goesOn = resumedFrom > 0;
    this.#source.begin({ ...common, streamPath: fittedStreamPath(path, "source") }, goesOn);
    this.#quantized.begin({ ...common, streamPath: fittedStreamPath(path, "quantized") }, goesOn);
    for (let layer = resumedFrom; layer < this.#quantized.windows; layer++) {
      this.#layer = layer;
      this.#parts = 0;
      this.#runSource();
      const found = this.#runQuantized();
      this.#source.sync();
      this.#quantized.sync();
      await this.#checkpoint.save(found);
      layers.push(found);
    }
    return { layers, tokens: this.#text.tokens.length, resumedFrom };
  }

  #runSource(): void {
    this.#withLayer(this.#source, undefined, (opened) => this.#decode(opened));
  }

  #runQuantized(): LayerScales {
    const layer = this.#layer;
    const fitted = this.#params.layers.find((one) => one.layer === layer);
    if (fitted === undefined) {
      return this.#withLayer(this.#quantized, undefined, (opened) => {
        this.#decode(opened);
        const error = this.#heldOutError();
        return { layer, before: error, after: error, factors: {} };
      });
    }
    const { gate, experts, slots } = fitted;
    const shape = { weight: inWindow(gate, layer), columns: gate.columns, experts, slots };
    const tokens = this.#roomFor(shape);
    const inputs = new ExpertInputs(shape, tokens);
    return this.#withLayer(this.#quantized, inputs, (opened) => {
      this.#decode(opened, inputs);
      const before = this.#heldOutError();
      const weights = new LayerWeights(opened, fitted);
      const factors = this.#fit(fitted, tokens, weights);
      weights.multiply(factors);
      this.#decode(opened);
      const after = this.#heldOutError();
      if (after < before) {
        return { layer, before, after, factors };
      }
      weights.restore();
      this.#decode(opened);
      return { layer, before, after: before, factors: {} };
    });
  }

  #withLayer<T>(sweep: Sweep, observer: ExpertInputs | undefined, action: (opened: OpenWindow) => T): T {
    const opened = sweep.open(this.#layer, {
      threads: this.#params.threads,
      observers: observer ? [observer] : [],
      keepsLeaving: true,
    });
    try {
      return action(opened);
    } finally {
      opened.close();
    }
  }

  #decode(opened: OpenWindow, inputs?: ExpertInputs): void {
    const { context, chunks } = this.#text;
    const { addsBos, bosToken } = this.#source.facts;
    const batches = batchesOf(this.#text, {
      sequences: this.#sequences,
      batchSize: opened.context.batchSize,
      logitsFrom: 0,
      startToken: addsBos ? bosToken : undefined,
    });
    for (const batch of batches) {
      inputs?.begin(batch, context, opened.context.microBatchSize);
      opened.decode(batch);
      inputs?.end();
      this.#tell(batch.end / chunks);
    }
    this.#parts++;
  }

  /** One expert after the other, each to what those before have left. */
  #fit(fitted: FittedLayer, tokens: RoutedTokens, weights: LayerWeights): Record<string, Float32Array> {
    const { gate, up, experts } = fitted;
    this.#putErrors(tokens);
    const places = this.#placesOf(tokens, experts);
    const factors: Record<string, Float32Array> = {};
    for (const { tensor, rows } of [gate, up]) {
      factors[tensor] ??= new Float32Array(experts * rows).fill(1);
    }
    for (let expert = 0; expert < experts; expert++) {
      const found = this.#experts.fit(tokens, weights.expert(expert), places[expert] ?? new Uint32Array());
      factors[gate.tensor]?.set(found.gate, expert * gate.rows + gate.first);
      factors[up.tensor]?.set(found.up, expert * up.rows + up.first);
      this.#tell((expert + 1) / experts);
      if (this.#host.isCancelled()) {
        throw new CancelledError("the work was stopped.");
      }
    }
    this.#parts++;
    return factors;
  }

  #roomFor(shape: RoutedShape): RoutedTokens {
    if (this.#tokens?.columns !== shape.columns || this.#tokens.slots !== shape.slots) {
      this.#tokens = routedTokensOf(shape, this.#text.tokens.length);
    }
    return this.#tokens;
  }

  /** The errors of all tokens, weighted by one over the source's root mean square. */
  #putErrors({ columns, residual, factors }: RoutedTokens): void {
    const { context, chunks } = this.#text;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const [wanted, own] = this.#leaving(chunk);
      for (let i = 0; i < context; i++) {
        const token = chunk * context + i;
        const square = sumOfSquares(wanted, i * columns, columns) / columns;
        const factor = square > 0 ? 1 / Math.sqrt(square) : 0;
        factors[token] = factor;
        for (let k = i * columns; k < (i + 1) * columns; k++) {
          residual[chunk * context * columns + k] = factor * ((wanted[k] ?? 0) - (own[k] ?? 0));
        }
      }
    }
  }

  /** For each expert, where its tokens are among the choices; those that are held out are left out. */
  #placesOf({ experts: chosen, slots }: RoutedTokens, experts: number): Uint32Array[] {
    const found: number[][] = Array.from({ length: experts }, () => []);
    for (const [place, expert] of chosen.entries()) {
      if (!this.#isHeldOut(Math.floor(place / slots))) {
        found[expert]?.push(place);
      }
    }
    return found.map((places) => Uint32Array.from(places));
  }

  #isHeldOut(token: number): boolean {
    const { context, chunks } = this.#text;
    if (chunks < heldOutEvery) {
      return token % context >= context - Math.ceil(context / heldOutEvery);
    }
    return Math.floor(token / context) % heldOutEvery === heldOutEvery - 1;
  }

  /** Mean over the tokens held out of the error's square relative to the stream's. */
  #heldOutError(): number {
    const { context, chunks } = this.#text;
    let [sum, count] = [0, 0];
    for (let chunk = 0; chunk < chunks; chunk++) {
      const tokens = Array.from({ length: context }, (_, i) => i);
      const heldOut = tokens.filter((i) => this.#isHeldOut(chunk * context + i));
      if (heldOut.length === 0) {
        continue;
      }
      const [wanted, own] = this.#leaving(chunk);
      const width = wanted.length / context;
      const error = wanted.map((value, k) => value - (own[k] ?? 0));
      for (const i of heldOut) {
        const square = sumOfSquares(wanted, i * width, width);
        sum += square > 0 ? sumOfSquares(error, i * width, width) / square : 0;
        count++;
      }
    }
    if (!Number.isFinite(sum)) {
      throw new MalformedInputError(
        `${this.#quantized.name}: what leaves layer ${this.#layer} of it or of ${this.#source.name} are no finite numbers. The weights are damaged, or the activations overflow.`,
        { file: this.#quantized.name, layer: this.#layer },
      );
    }
    return sum / count;
  }

  /** What leaves the layer of a chunk's tokens, of the source and of ours. */
  #leaving(chunk: number): [source: Float32Array, quantized: Float32Array] {
    const { context } = this.#text;
    const read = (sweep: Sweep) => sweep.entering(this.#layer + 1, chunk * context, context);
    return [read(this.#source), read(this.#quantized)];
  }

  #tell(part: number): void {
    const total = 4 * this.#quantized.windows;
    const done = 4 * this.#layer + Math.min(4, this.#parts + part);
    this.#host.emit({ done, total, layer: this.#layer });
  }
}

/** The text's chunks. Throws a UsageError if the two models have other tokens. */
async function textOf(params: FitParams, source: Sweep, quantized: Sweep): Promise<TextChunks> {
  const bytes = await readPlainText(params.text, tokensOf(params));
  const { parseSpecial, path } = params.text;
  const [tokens, others] = [source, quantized].map((sweep) => sweep.tokenize(bytes, parseSpecial));
  if (
    tokens === undefined ||
    others === undefined ||
    Buffer.compare(bytesView(tokens), bytesView(others)) !== 0
  ) {
    throw new UsageError(
      `${source.name} and ${quantized.name} cut the text into different tokens; name the model that the other was made from.`,
    );
  }
  return cutIntoChunks(path, tokens, params);
}

function bytesView({ buffer, byteOffset, byteLength }: Int32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Stands for all that the state of a run depends on. */
function runOf({ checkpoint, context, layers }: FitParams, { tokens }: TextChunks): string {
  return createHash("sha256")
    .update(JSON.stringify([checkpoint.identity, context, layers]))
    .update(tokens)
    .digest("hex");
}

function sumOfSquares(values: Float32Array, from: number, count: number): number {
  let sum = 0;
  for (let i = from; i < from + count; i++) {
    sum += (values[i] ?? 0) ** 2;
  }
  return sum;
}
