/**
 * Sensitivity in one sweep over the layers, for models larger than memory. Several streams of the same text pass
 * through each window: that of the model without noise, one with a little noise on all tensors, and for each window
 * before one that was disturbed there. In the window itself each tensor in turn has more noise, and what that changes
 * in the window's output is measured against the output's size, token by token. The sum of the changes is what disturbs
 * the window's own stream.
 *
 * At the end it is known how far each disturbed stream's predictions have gone from those of the model without noise:
 * what a change of known size after that window costs. A tensor's share of it is by how much it changed the output.
 * Tensors of the last window, and the embedding, are measured themselves.
 *
 * After each window but the last what has been found is saved, and a run that was stopped goes on with the next one:
 * what enters a window is not written over before.
 */
import { createHash } from "node:crypto";
import { type OpenWindow, Sweep, type SweptModel, sweptFiles } from "../../activations/sweep.js";
import { WindowClient } from "../../activations/window-client.js";
import type { WindowReply, WindowRequest } from "../../activations/window-messages.js";
import { defineJob, type JobHost } from "../../engine/job.js";
import { joinFiles } from "../../engine/job-files.js";
import type { Model } from "../../engine/model.js";
import { InternalError } from "../../errors.js";
import { noNumbers } from "../../evaluate/scorers.js";
import { type Estimate, RunningStatistics } from "../../evaluate/statistics.js";
import { layerOf } from "../../model/roles.js";
import { newKernels } from "../../quants/kernels/load.js";
import { Workspace } from "../../quants/workspace.js";
import { batchesOf, cutIntoChunks, type TextChunks } from "../../text/chunks.js";
import { readPlainText, tokensOf } from "../../text/text.js";
import type { SensitivityEvent, SensitivityOutcome, SensitivityParams } from "./job.js";
import { type TensorToPerturb, weightBytes, writeNoise } from "./noise.js";
import { perturbRows, SignSource } from "./perturbation.js";
import { chunksTogether, comparedStride, divergenceOf, estimateOf, firstCompared } from "./positions.js";
import { SweepCheckpoint, type TensorChange } from "./sweep-checkpoint.js";

export interface SweepSensitivityParams extends Omit<SensitivityParams, "model" | "rounds"> {
  readonly model: SweptModel;
  /** Where unfinished work is kept, and what the run depends on beside the text and these parameters. */
  readonly checkpoint: { readonly path: string; readonly identity: string };
}

/** Text passed through windows so far, of all that there is to do. */
export interface SweepSensitivityEvent {
  readonly done: number;
  readonly total: number;
}

export interface SweepSensitivityOutcome extends Omit<SensitivityOutcome, "unused"> {
  /** Those that the computation uses. */
  readonly tensors: readonly SensitivityEvent[];
}

type SweepHost = JobHost<SweepSensitivityEvent | WindowRequest, WindowReply>;

/** Copies of the text that pass through the windows; those disturbed after window 0, 1, ... follow. */
const clean = 0;
const noisy = 1;
const trial = 2;
const embedded = 3;
const firstDisturbed = 4;

/** Measures all tensors. */
export const sweepSensitivity = defineJob(
  import.meta.url,
  "sweepSensitivity",
  ({ model, text, checkpoint }) =>
    joinFiles(sweptFiles(model), { reads: [text.path], writes: [checkpoint.path] }),
  async (params: SweepSensitivityParams, host: SweepHost): Promise<SweepSensitivityOutcome> => {
    const whole = { ...params.model.whole, plainWeights: true };
    const sweep = new Sweep(host, new WindowClient(host), { ...params.model, whole }, 0);
    try {
      const bytes = await readPlainText(params.text, tokensOf(params));
      const tokens = sweep.tokenize(bytes, params.text.parseSpecial);
      const text = cutIntoChunks(params.text.path, tokens, params);
      return await new SensitivitySweep(params, host, sweep, text).run();
    } finally {
      sweep.close();
    }
  },
);

class SensitivitySweep {
  readonly #params: SweepSensitivityParams;
  readonly #host: SweepHost;
  readonly #sweep: Sweep;
  readonly #text: TextChunks;
  /** The text once for each stream. */
  readonly #streams: TextChunks;
  readonly #sequences: number;
  readonly #workspace: Workspace;
  readonly #last: number;
  readonly #checkpoint: SweepCheckpoint;
  readonly #changes: (readonly TensorChange[])[];
  /** Sizes of what disturbs the windows' streams. */
  readonly #disturbances: number[];
  #done = 0;

  constructor(params: SweepSensitivityParams, host: SweepHost, sweep: Sweep, text: TextChunks) {
    this.#params = params;
    this.#host = host;
    this.#sweep = sweep;
    this.#text = text;
    this.#last = sweep.windows - 1;
    const copies = firstDisturbed + this.#last;
    const tokens = new Int32Array(copies * text.tokens.length);
    for (let copy = 0; copy < copies; copy++) {
      tokens.set(text.tokens, copy * text.tokens.length);
    }
    this.#streams = { context: text.context, chunks: copies * text.chunks, tokens };
    this.#sequences = chunksTogether(text.context, sweep.facts);
    this.#workspace = new Workspace(newKernels());
    this.#checkpoint = new SweepCheckpoint(params.checkpoint.path, runName(params, text));
    const { changes = [], disturbances = [] } = this.#checkpoint.read() ?? {};
    this.#changes = [...changes];
    this.#disturbances = [...disturbances];
  }

  async run(): Promise<SweepSensitivityOutcome> {
    const done = this.#changes.length;
    const { streamPath } = this.#checkpoint;
    this.#sweep.begin({ text: this.#streams, sequences: this.#sequences, streamPath }, done > 0);
    if (done === 0) {
      this.#disturbEmbeddings();
    }
    this.#done = this.#passesBefore(done);
    for (let window = done; window < this.#last; window++) {
      this.#withWindow(window, (opened) => this.#measureWindow(window, opened));
      this.#sweep.sync();
      await this.#checkpoint.save({ changes: this.#changes, disturbances: this.#disturbances });
    }
    const outcome = this.#withWindow(this.#last, (opened) => this.#measureLast(opened));
    this.#checkpoint.remove();
    return outcome;
  }

  #withWindow<T>(window: number, action: (opened: OpenWindow) => T): T {
    const opened = this.#sweep.open(window, { threads: this.#params.threads, needsOutput: true });
    try {
      return action(opened);
    } finally {
      opened.close();
    }
  }

  /** A token's vector is a row of the embedding, so that noise on it is noise on the vector, the same wherever it stands. */
  #disturbEmbeddings(): void {
    const { background, added } = this.#params;
    this.#eachChunk((chunk) => {
      const vectors = this.#entering(0, clean, chunk);
      const withNoise = this.#noisyVectors(vectors, chunk, { draw: "background", level: background });
      this.#replace(0, noisy, chunk, withNoise);
      const more = this.#noisyVectors(withNoise, chunk, { draw: `added ${chunk}`, level: added });
      this.#replace(0, embedded, chunk, more);
    });
  }

  #noisyVectors(
    vectors: Float32Array,
    chunk: number,
    { draw, level }: { draw: string; level: number },
  ): Float32Array {
    const { context, tokens } = this.#text;
    const columns = vectors.length / context;
    const result = new Float32Array(vectors.length);
    for (let i = 0; i < context; i++) {
      const signs = new SignSource(`token_embd.weight ${tokens[chunk * context + i]} ${draw}`);
      const row = new Uint8Array(vectors.slice(i * columns, (i + 1) * columns).buffer);
      const noise = { type: "F32", columns, level, importance: undefined, signs } as const;
      result.set(new Float32Array(perturbRows(row, noise, this.#workspace).bytes.buffer), i * columns);
    }
    return result;
  }

  /** Runs all streams through a window, and measures what its tensors do to its output. */
  #measureWindow(window: number, opened: OpenWindow): void {
    this.#decode(opened, clean);
    const tensors = this.#putBackground(window, opened.model);
    this.#decodeDisturbed(window, opened);
    const sum: Float32Array[] = [];
    this.#changes[window] = this.#tryEach(window, opened, tensors, () => {
      let size = 0;
      this.#eachChunk((chunk) => {
        const before = this.#entering(window + 1, noisy, chunk);
        const change = difference(this.#entering(window + 1, trial, chunk), before);
        size += relativeSize(change, before, this.#text.context) / this.#text.chunks;
        sum[chunk] = added(change, sum[chunk]);
      });
      return size;
    });
    let size = 0;
    this.#eachChunk((chunk) => {
      const before = this.#entering(window + 1, noisy, chunk);
      const change = sum[chunk] ?? new Float32Array(before.length);
      size += relativeSize(change, before, this.#text.context) / this.#text.chunks;
      this.#replace(window + 1, firstDisturbed + window, chunk, added(change, before));
    });
    this.#disturbances[window] = size;
  }

  /** In the last window every change is seen in the predictions. */
  #measureLast(opened: OpenWindow): SweepSensitivityOutcome {
    const window = this.#last;
    const { vocabularySize } = this.#sweep.facts;
    const stride = comparedStride(this.#text, vocabularySize);
    const kept: Float32Array[] = [];
    this.#eachRow(opened, clean, stride, (logits, place) => {
      if (!logits.every(Number.isFinite)) {
        throw noNumbers(this.#sweep.name, place.chunk, place.position);
      }
      kept.push(logits.slice());
    });
    const divergences = (stream: number, beforeGroup?: () => void) => {
      const found = new Float64Array(kept.length);
      let count = 0;
      this.#eachRow(
        opened,
        stream,
        stride,
        (logits) => {
          found[count] = divergenceOf(kept[count] ?? logits, logits);
          count++;
        },
        beforeGroup,
      );
      return found;
    };
    const tensors = this.#putBackground(window, opened.model);
    const before = divergences(noisy);
    const growth = (stream: number, beforeGroup?: () => void) =>
      estimateOf(divergences(stream, beforeGroup).map((kld, i) => kld - (before[i] ?? 0)));
    const grown = Array.from({ length: window }, (_, which) => growth(firstDisturbed + which));
    const ofEmbedding = growth(embedded);
    const found = new Map<string, SensitivityEvent>();
    const add = (event: SensitivityEvent) => {
      const known = found.get(event.name);
      const mean = event.growth.mean + (known?.growth.mean ?? 0);
      const error = Math.hypot(event.growth.error, known?.growth.error ?? 0);
      found.set(event.name, { ...event, growth: { mean, error } });
    };
    add({ name: "token_embd.weight", error: this.#params.added, growth: ofEmbedding });
    for (const [which, changes] of this.#changes.entries()) {
      for (const { name, error, size } of changes) {
        const share = size / (this.#disturbances[which] || 1);
        const { mean = 0, error: uncertainty = 0 } = grown[which] ?? {};
        add({ name, error, growth: { mean: share * mean, error: share * uncertainty } });
      }
    }
    this.#copyNoisy(window);
    for (const tensor of tensors) {
      let grownBy: Estimate = { mean: 0, error: 0 };
      const error = this.#withNoise(window, opened.model, tensor, (draw) => {
        grownBy = growth(trial, draw);
      });
      add({ name: tensor.name, error, growth: grownBy });
    }
    const wanted = new Set(this.#params.tensors.map(({ name }) => name));
    return {
      chunks: this.#text.chunks,
      positions: kept.length,
      background: estimateOf(before),
      tensors: [...found.values()].filter(({ name }) => wanted.has(name)),
    };
  }

  /** The tensors that a window computes with, as they are named in the whole model. */
  #tensorsOf(window: number): TensorToPerturb[] {
    const { from, to } = this.#sweep.range(window);
    const { tensors } = this.#params;
    const output = tensors.some(({ name }) => name === "output.weight")
      ? "output.weight"
      : "token_embd.weight";
    return tensors.filter(({ name }) => {
      const layer = layerOf(name);
      return layer === undefined ? window === this.#last && name === output : layer >= from && layer < to;
    });
  }

  #loadedName(window: number, name: string): string {
    const { from } = this.#sweep.range(window);
    return name.replace(/^blk\.(\d+)\./, (_, layer) => `blk.${Number(layer) - from}.`);
  }

  /** Puts a little noise on a window's tensors; returns those that the computation uses. */
  #putBackground(window: number, model: Model): TensorToPerturb[] {
    return this.#tensorsOf(window).filter((tensor) => {
      const loadedName = this.#loadedName(window, tensor.name);
      const original = weightBytes(model, loadedName);
      if (original) {
        const noise = { draw: "background", level: this.#params.background, loadedName };
        writeNoise(model, tensor, original, noise, this.#workspace);
      }
      return original !== undefined;
    });
  }

  /**
   * Runs `action` with a function that puts more noise on a tensor, another each time; takes it away at the end. One
   * draw for all chunks could by chance hit the tokens or directions that a text has most of. Returns the mean relative
   * error.
   */
  #withNoise(
    window: number,
    model: Model,
    tensor: TensorToPerturb,
    action: (draw: () => void) => void,
  ): number {
    const loadedName = this.#loadedName(window, tensor.name);
    const original = weightBytes(model, loadedName);
    if (original === undefined) {
      throw new InternalError(`${tensor.name} was there, and is not any more.`);
    }
    const error = new RunningStatistics();
    action(() => {
      const noise = { draw: `added ${error.count}`, level: this.#params.added, loadedName };
      error.add(writeNoise(model, tensor, original, noise, this.#workspace));
    });
    model.writeWeight(loadedName, original);
    return error.estimate().mean;
  }

  /** Runs what enters the window through it with more noise on each tensor; `sizeOf` measures what comes out. */
  #tryEach(
    window: number,
    opened: OpenWindow,
    tensors: readonly TensorToPerturb[],
    sizeOf: () => number,
  ): TensorChange[] {
    this.#copyNoisy(window);
    return tensors.map((tensor) => {
      const error = this.#withNoise(window, opened.model, tensor, (draw) =>
        this.#decode(opened, trial, draw),
      );
      return { name: tensor.name, error, size: sizeOf() };
    });
  }

  #copyNoisy(window: number): void {
    this.#eachChunk((chunk) => this.#replace(window, trial, chunk, this.#entering(window, noisy, chunk)));
  }

  #decodeDisturbed(window: number, opened: OpenWindow): void {
    this.#decode(opened, noisy);
    this.#decode(opened, embedded);
    for (let which = 0; which < window; which++) {
      this.#decode(opened, firstDisturbed + which);
    }
  }

  /** `beforeGroup` is called before each group of chunks that are decoded together. */
  #decode(opened: OpenWindow, stream: number, beforeGroup?: () => void): void {
    for (const batch of this.#batches(opened, stream)) {
      if (batch.begins) {
        beforeGroup?.();
      }
      opened.decode(batch);
    }
    this.#tell();
  }

  #eachRow(
    opened: OpenWindow,
    stream: number,
    stride: number,
    visit: (logits: Float32Array, place: { chunk: number; position: number }) => void,
    beforeGroup?: () => void,
  ): void {
    const { vocabularySize } = this.#sweep.facts;
    const first = firstCompared(this.#text.context);
    for (const batch of this.#batches(opened, stream)) {
      if (batch.begins) {
        beforeGroup?.();
      }
      opened.decode(batch);
      const logits = opened.context.logits();
      for (const [row, place] of batch.rows.entries()) {
        if ((place.position - first) % stride === 0) {
          visit(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize), place);
        }
      }
    }
    this.#tell();
  }

  #batches(opened: OpenWindow, stream: number) {
    const { chunks, context } = this.#text;
    const end = { ...this.#streams, chunks: (stream + 1) * chunks };
    return batchesOf(end, {
      sequences: this.#sequences,
      batchSize: opened.context.batchSize,
      logitsFrom: firstCompared(context),
      from: stream * chunks,
    });
  }

  #entering(window: number, stream: number, chunk: number): Float32Array {
    const { context, chunks } = this.#text;
    return this.#sweep.entering(window, (stream * chunks + chunk) * context, context);
  }

  #replace(window: number, stream: number, chunk: number, vectors: Float32Array): void {
    const { context, chunks } = this.#text;
    this.#sweep.replaceEntering(window, (stream * chunks + chunk) * context, vectors);
  }

  #eachChunk(action: (chunk: number) => void): void {
    for (let chunk = 0; chunk < this.#text.chunks; chunk++) {
      action(chunk);
    }
  }

  /** What `#tell` has counted when all windows before this one are done. */
  #passesBefore(window: number): number {
    let passes = 0;
    for (const [before, { length }] of this.#changes.slice(0, window).entries()) {
      passes += 3 + before + length;
    }
    return passes;
  }

  #tell(): void {
    const windows = this.#last + 1;
    const trials = this.#params.tensors.filter(({ name }) => layerOf(name) !== undefined).length + 1;
    const total = 3 * windows + (windows * this.#last) / 2 + trials;
    this.#host.emit({ done: Math.min(total, ++this.#done), total });
  }
}

/** Stands for all that the state of a run depends on. */
function runName(params: SweepSensitivityParams, { tokens }: TextChunks): string {
  const { checkpoint, context, background, added, tensors, model } = params;
  const measured = tensors.map(({ name }) => name);
  return createHash("sha256")
    .update(
      JSON.stringify([checkpoint.identity, context, background, added, measured, model.windows?.ranges]),
    )
    .update(tokens)
    .digest("hex");
}

function difference(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => value - (b[i] ?? 0));
}

function added(a: Float32Array, b: Float32Array | undefined): Float32Array {
  return a.map((value, i) => value + (b?.[i] ?? 0));
}

/** Mean over the tokens of a change's square over that of what is changed. */
function relativeSize(change: Float32Array, before: Float32Array, tokens: number): number {
  const width = before.length / tokens;
  let sum = 0;
  for (let token = 0; token < tokens; token++) {
    let [changed, whole] = [0, 0];
    for (let i = token * width; i < (token + 1) * width; i++) {
      changed += (change[i] ?? 0) ** 2;
      whole += (before[i] ?? 0) ** 2;
    }
    sum += whole > 0 ? changed / whole : 0;
  }
  return sum / tokens;
}
