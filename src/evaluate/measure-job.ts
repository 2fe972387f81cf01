/**
 * The part of measuring perplexity that happens beside the model: run the layers over the chunks, score every row of
 * logits. Several models, and a reference, are run up to their last windows one after the other, then these together.
 */
import { createHash } from "node:crypto";
import { Savings } from "../activations/savings.js";
import { type OpenWindow, Sweep, type SweptModel, sweptFiles } from "../activations/sweep.js";
import { WindowClient } from "../activations/window-client.js";
import type { WindowReply, WindowRequest } from "../activations/window-messages.js";
import { shownName } from "../bytes/address.js";
import { FileSource } from "../bytes/source.js";
import { defineJob, type JobHost } from "../engine/job.js";
import { type JobFiles, joinFiles } from "../engine/job-files.js";
import type { Observer } from "../engine/observer.js";
import { EnvironmentError, UsageError } from "../errors.js";
import { type BatchOptions, batchesOf, type ChunkBatch, type TextChunks } from "../text/chunks.js";
import type { TextInput } from "../text/text-input.js";
import type { TextSketch } from "../text/text-sketch.js";
import { withCalibration } from "./calibrated-share.js";
import { asOnePart, type EvaluatedTexts } from "./evaluated-texts.js";
import { type Floor, FloorMeasurement } from "./floor.js";
import { LogitsBase } from "./logits-base.js";
import { MeasureCheckpoint } from "./measure-checkpoint.js";
import type { ScoredPosition } from "./packed-scores.js";
import { firstScored } from "./perplexity.js";
import { RoutingComparison, RoutingLog, type RoutingOfLayer } from "./routing.js";
import { BaseScorer, noNumbers, PlainScorer, ReferenceScorer, type Scorer } from "./scorers.js";
import { type MeasuredTexts, Scores } from "./scores.js";
import { firstScoredPositions, sequencesOfAll, tokenizedTexts } from "./tokenized-texts.js";

export interface MeasureParams {
  /** At least one. */
  readonly models: readonly SweptModel[];
  /** Compared with. */
  readonly reference: SweptModel | undefined;
  /** Path of a base file to compare with; text and chunks are then its own. */
  readonly base: string | undefined;
  /** Path of a base file to write. */
  readonly save: string | undefined;
  readonly texts: readonly TextInput[];
  /** Find the floor too, unless the reference is run in windows. */
  readonly floor: boolean;
  /** What each model was calibrated on, as far as it is known. */
  readonly calibrations: readonly (TextSketch | undefined)[];
  /** Tokens in a chunk. */
  readonly context: number;
  /** Most chunks of each text; all of it if undefined. */
  readonly chunks: number | undefined;
  /** Threads; all by default. */
  readonly threads: number | undefined;
  /** Where unfinished work is kept, and what stands for the contents of the models' and base files. */
  readonly checkpoint: { readonly path: string; readonly identity: string } | undefined;
}

export interface MeasureResult {
  readonly context: number;
  /** Of all texts together. */
  readonly chunks: number;
  /** Of each model. */
  readonly measured: readonly MeasuredTexts[];
  /** How far the reference is from itself. */
  readonly floor?: Floor;
  /** Time spent on chunks, without loading. */
  readonly seconds: number;
}

/** Chunks done, of how many, and the first model's perplexity so far. In windows, chunks that as many layers make up. */
export interface MeasureEvent {
  readonly done: number;
  readonly total: number;
  readonly ppl: number | undefined;
}

export type MeasureHost = JobHost<MeasureEvent | WindowRequest, WindowReply>;

/** Measures the perplexity of models, and how they differ from a reference model or a base file. */
export const measure = defineJob(
  import.meta.url,
  "measure",
  measuredFiles,
  async (params: MeasureParams, host: MeasureHost): Promise<MeasureResult> => {
    const base = params.base === undefined ? undefined : await openBase(params.base);
    const client = new WindowClient(host);
    const sweeps: Sweep[] = [];
    let checkpoint: MeasureCheckpoint | undefined;
    try {
      for (const swept of [...params.models, ...(params.reference ? [params.reference] : [])]) {
        sweeps.push(new Sweep(host, client, swept, sweeps.length));
      }
      const texts = base === undefined ? await tokenizedTexts(params, sweeps) : textsOf(base, params, sweeps);
      checkpoint =
        params.checkpoint &&
        (await MeasureCheckpoint.open(
          params.checkpoint.path,
          measurementName(params, params.checkpoint, texts),
        ));
      const result = await new ModelMeasurement(params, host, texts, sweeps, checkpoint).run(base);
      await checkpoint?.remove(sweeps.length);
      return result;
    } finally {
      await checkpoint?.close();
      for (const sweep of sweeps) {
        sweep.close();
      }
      await base?.close();
    }
  },
);

function measuredFiles({ models, reference, base, save, texts, checkpoint }: MeasureParams): JobFiles {
  const written = [save, checkpoint?.path].filter((path) => path !== undefined);
  return joinFiles(
    ...[...models, ...(reference ? [reference] : [])].map(sweptFiles),
    { reads: texts.map(({ path }) => path) },
    { reads: base === undefined ? [] : [base], writes: written },
  );
}

/** A model at its last window, with what is found of it. */
interface Candidate {
  readonly sweep: Sweep;
  readonly last: OpenWindow;
  readonly scorer: Scorer;
  readonly scores: Scores;
  /** Not in the checkpoint yet. */
  readonly unsaved: ScoredPosition[];
}

/** The reference's second run. */
interface OpenFloor {
  readonly window: OpenWindow;
  readonly measurement: FloorMeasurement;
  readonly scorer: ReferenceScorer;
}

/** A group of chunks of a longer text, whose scores are pooled elsewhere. */
export interface MeasuredGroup {
  /** Number of its first chunk in the text. */
  readonly first: number;
  /** Chunks decoded together. */
  readonly sequences: number;
}

export class ModelMeasurement {
  readonly #params: MeasureParams;
  readonly #host: MeasureHost;
  readonly #texts: EvaluatedTexts;
  /** The reference is the last one. */
  readonly #sweeps: readonly Sweep[];
  readonly #models: readonly Sweep[];
  readonly #reference: Sweep | undefined;
  readonly #firstScored: readonly number[];
  readonly #sequences: number;
  readonly #checkpoint: MeasureCheckpoint | undefined;
  readonly #group: MeasuredGroup | undefined;
  readonly #savings = new Savings();
  #seconds = 0;
  /** Windows that are done, of all models. */
  #windowsDone = 0;
  /** With a reference: what watches the routers of each model, the reference's log being the last. */
  readonly #routing: readonly (RoutingComparison | RoutingLog)[];

  constructor(
    params: MeasureParams,
    host: MeasureHost,
    texts: EvaluatedTexts,
    sweeps: readonly Sweep[],
    checkpoint: MeasureCheckpoint | undefined,
    group?: MeasuredGroup,
  ) {
    this.#params = params;
    this.#host = host;
    this.#texts = texts;
    this.#sweeps = sweeps;
    this.#checkpoint = checkpoint;
    this.#group = group;
    this.#models = sweeps.slice(0, params.models.length);
    this.#reference = sweeps[params.models.length];
    // What a run that goes on later, or elsewhere, had seen of routers is not kept, so that it compares none.
    const isInOneGo = checkpoint === undefined && group === undefined;
    const log = this.#reference && isInOneGo ? new RoutingLog(this.#reference.facts.layers) : undefined;
    this.#routing = log ? [...this.#models.map(() => new RoutingComparison(log)), log] : [];
    this.#firstScored = firstScoredPositions(texts);
    this.#sequences = group?.sequences ?? sequencesOfAll(texts, sweeps);
  }

  async run(base: LogitsBase | undefined): Promise<MeasureResult> {
    return await this.#measure(base, (candidates, floor) => {
      const found = floor?.measurement.result();
      return {
        context: this.#texts.context,
        chunks: this.#texts.chunks,
        measured: candidates.map(({ scores }, model) => ({
          ...withCalibration(scores.result(), this.#params.calibrations[model], this.#texts),
          ...this.#routingOf(model),
        })),
        ...(found && { floor: found }),
        seconds: this.#seconds,
      };
    });
  }

  /** The scores of a group, of each model. */
  async scoresOfGroup(): Promise<readonly (readonly ScoredPosition[])[]> {
    return await this.#measure(undefined, (candidates) => candidates.map(({ unsaved }) => unsaved));
  }

  async #measure<Result>(
    base: LogitsBase | undefined,
    resultOf: (candidates: readonly Candidate[], floor: OpenFloor | undefined) => Result,
  ): Promise<Result> {
    for (const [model, sweep] of [...this.#sweeps.entries()].toReversed()) {
      await this.#runToLast(sweep, model);
    }
    const opened: OpenWindow[] = [];
    const candidates: Candidate[] = [];
    try {
      for (const sweep of this.#models) {
        const last = this.#openLast(sweep, opened);
        candidates.push({
          sweep,
          last,
          scorer: await this.#createScorer(base),
          scores: new Scores(this.#texts),
          unsaved: [],
        });
      }
      const reference = this.#reference && this.#openLast(this.#reference, opened);
      const floor = this.#openFloor(opened);
      await this.#score(candidates, reference, floor);
      return resultOf(candidates, floor);
    } finally {
      for (const { scorer } of candidates) {
        await scorer.close();
      }
      for (const window of opened) {
        window.close();
      }
    }
  }

  get #vocabularySize(): number {
    return this.#models[0]?.facts.vocabularySize ?? 0;
  }

  /** Runs all windows of a model but the last, which make no logits. */
  async #runToLast(sweep: Sweep, model: number): Promise<void> {
    const place = this.#checkpoint?.place(model);
    const streamPath = sweep.windows > 1 ? this.#checkpoint?.streamPath(model) : undefined;
    sweep.begin({ text: this.#texts, sequences: this.#sequences, streamPath }, place !== undefined);
    const first = place?.window ?? 0;
    this.#windowsDone += first;
    for (let window = first; window < sweep.windows - 1; window++) {
      const opened = sweep.open(window, {
        threads: this.#params.threads,
        observers: this.#observersOf(sweep, window),
      });
      const started = performance.now();
      const from = window === first ? (place?.chunks ?? 0) : 0;
      try {
        for (const batch of batchesOf(this.#texts, { ...this.#batchOptions(sweep, opened), from })) {
          opened.decode(batch);
          if (batch.ends) {
            await this.#saveWindow(sweep, model, window, batch.end);
            this.#tell(batch.end, undefined);
          }
        }
      } finally {
        this.#seconds += (performance.now() - started) / 1000;
        opened.close();
      }
      this.#windowsDone++;
    }
  }

  /**
   * Saves how far a window is, unless that was done a moment ago. At its end always: the next window writes over what
   * this one read, and an earlier place would go on from that.
   */
  async #saveWindow(sweep: Sweep, model: number, window: number, chunks: number): Promise<void> {
    const checkpoint = this.#checkpoint;
    const isWhole = chunks === this.#texts.chunks;
    if (checkpoint === undefined || !(isWhole || this.#savings.mayBegin())) {
      return;
    }
    await this.#savings.time(async () => {
      sweep.sync();
      await checkpoint.savePlace(model, isWhole ? { window: window + 1, chunks: 0 } : { window, chunks });
    });
  }

  #openLast(sweep: Sweep, opened: OpenWindow[]): OpenWindow {
    const window = sweep.open(sweep.windows - 1, {
      threads: this.#params.threads,
      needsOutput: true,
      observers: this.#observersOf(sweep, sweep.windows - 1),
    });
    opened.push(window);
    return window;
  }

  /**
   * The reference once more. A run that goes on later finds no floor, and neither does one in windows, which would read
   * all of the reference again; some architectures have no other attention.
   */
  #openFloor(opened: OpenWindow[]): OpenFloor | undefined {
    const sweep = this.#reference;
    if (!this.#params.floor || sweep === undefined || sweep.windows > 1 || this.#checkpoint) {
      return undefined;
    }
    const log = this.#routing.at(-1);
    const measurement = new FloorMeasurement(this.#texts, log instanceof RoutingLog ? log : undefined);
    try {
      const window = sweep.open(0, {
        threads: this.#params.threads,
        needsOutput: true,
        observers: measurement.routing ? [measurement.routing] : [],
        preciseAttention: true,
      });
      opened.push(window);
      return { window, measurement, scorer: new ReferenceScorer(sweep.name) };
    } catch (error) {
      if (error instanceof EnvironmentError) {
        return undefined;
      }
      throw error;
    }
  }

  #observersOf(sweep: Sweep, window: number): Observer[] {
    const observer = this.#routing[this.#sweeps.indexOf(sweep)];
    if (observer === undefined) {
      return [];
    }
    observer.firstLayer = sweep.range(window).from;
    return [observer];
  }

  #routingOf(model: number): { readonly routing?: readonly RoutingOfLayer[] } {
    const comparison = this.#routing[model];
    const routing = comparison instanceof RoutingComparison ? comparison.result() : [];
    return routing.length > 0 ? { routing } : {};
  }

  async #score(
    candidates: readonly Candidate[],
    reference: OpenWindow | undefined,
    floor: OpenFloor | undefined,
  ): Promise<void> {
    const [first] = candidates;
    if (first === undefined) {
      return;
    }
    const begin = performance.now();
    const from = this.#takeUp(candidates);
    this.#tell(from, undefined);
    for (const batch of batchesOf(this.#texts, { ...this.#batchOptions(first.sweep, first.last), from })) {
      reference?.decode(batch);
      for (const { last } of candidates) {
        last.decode(batch);
      }
      const expected = reference?.context.logits();
      const again = this.#decodeAgain(floor, batch);
      const decoded = candidates.map((candidate) => ({
        ...candidate,
        logits: candidate.last.context.logits(),
      }));
      for (const [row, place] of batch.rows.entries()) {
        await this.#scoreRow(decoded, expected, row, place);
        if (floor && again) {
          this.#scoreFloor(floor, again, expected, row, place);
        }
      }
      if (batch.ends) {
        await this.#saveScores(candidates, batch.end);
        this.#tell(batch.end, first.scores.soFar());
      }
    }
    for (const { scorer } of candidates) {
      await scorer.finish();
    }
    this.#seconds += (performance.now() - begin) / 1000;
  }

  async #scoreRow(
    decoded: readonly (Candidate & { readonly logits: Float32Array })[],
    expected: Float32Array | undefined,
    row: number,
    { chunk, position }: { readonly chunk: number; readonly position: number },
  ): Promise<void> {
    const place = this.#placeOf(chunk, position);
    if (place === undefined) {
      return;
    }
    const expectedRow = expected && this.#rowOf(expected, row);
    for (const { sweep, logits, scorer, scores, unsaved } of decoded) {
      const values = this.#rowOf(logits, row);
      const score = await scorer.score({ ...place, values, expected: expectedRow });
      if (Number.isNaN(score.nll)) {
        throw noNumbers(sweep.name, place.chunk, position);
      }
      scores.add(chunk, score);
      if (this.#keepsScores) {
        unsaved.push({ chunk: place.chunk, score });
      }
    }
  }

  /** What is known of a scored position beside logits; undefined for one that is not scored. */
  #placeOf(chunk: number, position: number) {
    const { context, tokens, scored } = this.#texts;
    const at = chunk * context + position;
    const before = position - firstScored(context);
    const inText = (this.#group?.first ?? 0) + chunk;
    return scored[at] === 1
      ? { chunk: inText, position, scored: before, target: tokens[at + 1] ?? 0 }
      : undefined;
  }

  #rowOf(logits: Float32Array, row: number): Float32Array {
    return logits.subarray(row * this.#vocabularySize, (row + 1) * this.#vocabularySize);
  }

  /** The logits of the reference's second run, if it takes part in a batch. */
  #decodeAgain(floor: OpenFloor | undefined, batch: ChunkBatch): Float32Array | undefined {
    if (!floor?.measurement.wants(batch)) {
      floor?.measurement.skip();
      return undefined;
    }
    floor.window.decode(batch);
    return floor.window.context.logits();
  }

  #scoreFloor(
    { measurement, scorer }: OpenFloor,
    again: Float32Array,
    expected: Float32Array | undefined,
    row: number,
    { chunk, position }: { readonly chunk: number; readonly position: number },
  ): void {
    const place = this.#placeOf(chunk, position);
    if (place && expected) {
      const [values, first] = [again, expected].map((logits) => this.#rowOf(logits, row)) as [
        Float32Array,
        Float32Array,
      ];
      measurement.add(chunk, scorer.score({ ...place, values, expected: first }));
    }
  }

  /** For a checkpoint or a group. A base file is written from its beginning, so that scores alone would not do. */
  get #keepsScores(): boolean {
    return (this.#checkpoint !== undefined && this.#params.save === undefined) || this.#group !== undefined;
  }

  /** Gives the models the scores that an earlier run found; returns the number of chunks. */
  #takeUp(candidates: readonly Candidate[]): number {
    const checkpoint = this.#checkpoint;
    if (checkpoint === undefined || !this.#keepsScores) {
      return 0;
    }
    for (const [model, { scores }] of candidates.entries()) {
      for (const { chunk, score } of checkpoint.scores(model)) {
        scores.add(chunk, score);
      }
    }
    return checkpoint.chunks;
  }

  async #saveScores(candidates: readonly Candidate[], end: number): Promise<void> {
    const checkpoint = this.#checkpoint;
    if (checkpoint === undefined || !this.#keepsScores || !this.#savings.mayBegin()) {
      return;
    }
    await this.#savings.time(async () => {
      await checkpoint.saveScores(
        end,
        candidates.map(({ unsaved }) => unsaved.splice(0)),
      );
    });
  }

  #createScorer(base: LogitsBase | undefined): Promise<Scorer> | Scorer {
    if (base !== undefined) {
      return new BaseScorer(base);
    }
    if (this.#reference !== undefined) {
      return new ReferenceScorer(this.#reference.name);
    }
    return PlainScorer.create(this.#params.save, this.#texts, this.#vocabularySize);
  }

  #batchOptions({ facts }: Sweep, { context }: OpenWindow): BatchOptions {
    return {
      sequences: this.#sequences,
      batchSize: context.batchSize,
      logitsFrom: (chunk) => this.#firstScored[chunk] ?? 0,
      startToken: facts.addsBos ? facts.bosToken : undefined,
    };
  }

  /** The last windows of all models are run together and count once. */
  #tell(chunks: number, ppl: number | undefined): void {
    const total = this.#texts.chunks;
    const windows = 1 + this.#sweeps.reduce((sum, sweep) => sum + sweep.windows - 1, 0);
    this.#host.emit({ done: (this.#windowsDone * total + chunks) / windows, total, ppl });
  }
}

/** Everything that the scores depend on, and the streams between windows. */
export function measurementName(
  { models, reference, save }: Pick<MeasureParams, "models" | "reference" | "save">,
  { identity }: { readonly identity: string },
  { context, tokens, scored, parts }: EvaluatedTexts,
): string {
  const windows = [...models, reference].map((swept) => swept?.windows?.ranges);
  return createHash("sha256")
    .update(JSON.stringify({ identity, context, windows, parts, save }))
    .update(tokens)
    .update(scored)
    .digest("hex");
}

async function openBase(path: string): Promise<LogitsBase> {
  const source = await FileSource.open(path);
  try {
    return await LogitsBase.open(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

function textsOf(
  { header }: LogitsBase,
  { base = "", chunks }: MeasureParams,
  sweeps: readonly Sweep[],
): EvaluatedTexts {
  for (const { facts, name } of sweeps) {
    if (header.vocabulary !== facts.vocabularySize) {
      throw new UsageError(
        `${base}: is of a vocabulary of ${header.vocabulary} tokens, but ${name} has ${facts.vocabularySize}. Only models with the same tokens can be compared.`,
        { file: base },
      );
    }
  }
  const count = Math.min(chunks ?? header.chunks, header.chunks);
  const text: TextChunks = {
    context: header.context,
    chunks: count,
    tokens: header.tokens.subarray(0, count * header.context),
  };
  return asOnePart(shownName(base), text);
}
