/**
 * A model over a text: window of layers after window of layers, and in each window all batches of the text. The
 * residual stream leaves one window and enters the next. A model that fits in memory is one window.
 *
 * The batches are the same in every window, so that what is computed is, to the bit, what the whole model computes.
 */
import type { ModelContext } from "../engine/context.js";
import type { ModelFacts } from "../engine/facts.js";
import { type JobFiles, readsModel } from "../engine/job-files.js";
import { createMemoryFile } from "../engine/memory-file.js";
import type { Model, ModelOptions } from "../engine/model.js";
import type { Observer } from "../engine/observer.js";
import { InternalError } from "../errors.js";
import type { WindowRange } from "../model/layer-window.js";
import type { PredictionPlan } from "../model/prediction-facts.js";
import { windowFactsOf } from "../model/window-facts.js";
import { batchTokens, type ChunkBatch, type TextChunks } from "../text/chunks.js";
import { Prediction } from "./prediction.js";
import { ResidualStream } from "./residual-stream.js";
import { leavingNode, StopAfter, StreamCapture } from "./stream-observers.js";
import type { WindowClient, WindowHost } from "./window-client.js";

/** A model and how a job runs it. */
export interface SweptModel {
  /** How to load all of it; for a model that is run in windows, what of it holds for each of them. */
  readonly whole: ModelOptions;
  /** Undefined: in one piece. */
  readonly windows?: WindowPlan | undefined;
  /** The layers that predict further tokens are run too, after the last layer. */
  readonly prediction?: PredictionPlan | undefined;
  /** What the user should know of it, a sentence. */
  readonly note?: string;
}

export interface WindowPlan {
  readonly ranges: readonly WindowRange[];
  /** Length of the residual stream's vectors. */
  readonly width: number;
  /** The next window is loaded while one is computed. */
  readonly loadsAhead: boolean;
  /** `whole` is no file that llama.cpp reads the tokenizer from. */
  readonly needsVocabulary: boolean;
}

/** What a job opens of a model: its windows come to it, and streams between them may be large. */
export function sweptFiles({ whole, windows }: SweptModel): JobFiles {
  return {
    ...(windows?.needsVocabulary === true ? {} : readsModel(whole)),
    scratch: windows !== undefined,
  };
}

export interface SweepText {
  readonly text: TextChunks;
  /** Chunks decoded together. */
  readonly sequences: number;
  /** Where the residual stream is kept for a run that goes on later; nowhere by default. */
  readonly streamPath?: string | undefined;
}

export interface OpenWindowOptions {
  readonly observers?: readonly Observer[];
  readonly threads?: number | undefined;
  /** What comes after the last layer is wanted: logits, or the products of the output matrix. */
  readonly needsOutput?: boolean;
  /** What leaves the last window is kept too, as for another one; nothing after it is computed. */
  readonly keepsLeaving?: boolean;
  /** The next window will be opened too: it may be made meanwhile. True by default. */
  readonly loadsNext?: boolean;
  /** Attention with a cache in F32 and in F32 itself, rather than both in F16. */
  readonly preciseAttention?: boolean;
}

const preciseAttention = { keyCacheType: "F32", valueCacheType: "F32", fusedAttention: false } as const;

/** One model's windows. Close it at the end. */
export class Sweep {
  readonly #host: WindowHost;
  readonly #swept: SweptModel;
  readonly #model: number;
  readonly #client: WindowClient;
  /** Gives the facts and the tokenizer; the whole model if it is run in one piece. */
  readonly #vocabulary: Model;
  readonly #ahead = new Map<number, { readonly request: number; readonly path: string; close(): void }>();
  #text: SweepText | undefined;
  #stream: ResidualStream | undefined;

  /** `model` is the number of the model among the sources of `runWithWindows`. */
  constructor(host: WindowHost, client: WindowClient, swept: SweptModel, model: number) {
    this.#host = host;
    this.#swept = swept;
    this.#model = model;
    this.#client = client;
    this.#vocabulary = this.#loadVocabulary();
  }

  get facts(): ModelFacts {
    return this.#vocabulary.facts;
  }

  /** What to call the model in messages. */
  get name(): string {
    return this.#vocabulary.path;
  }

  /** Number of windows: at least 1. */
  get windows(): number {
    return this.#swept.windows?.ranges.length ?? 1;
  }

  /** Layers of a window: all of them if the model is run in one piece. */
  range(window: number): WindowRange {
    const ranges = this.#swept.windows?.ranges;
    return ranges?.[window] ?? { from: 0, to: this.facts.layers, hasOutput: true };
  }

  tokenize(text: Uint8Array, parseSpecial: boolean): Int32Array {
    return this.#vocabulary.tokenize(text, { parseSpecial });
  }

  /** Sets the text. Unless the stream of an earlier run is gone on with, the tokens' vectors are put into it. */
  begin(text: SweepText, goesOn: boolean): void {
    this.#text = text;
    const { windows } = this.#swept;
    if (windows === undefined) {
      return;
    }
    const { tokens } = text.text;
    this.#stream =
      text.streamPath === undefined
        ? ResidualStream.temporary(this.#host.library.ffi, tokens.length, windows.width)
        : ResidualStream.open(text.streamPath, tokens.length, windows.width);
    if (!goesOn) {
      this.#embed(text.text, this.#stream);
    }
  }

  /** Loads a window, and has the next one made meanwhile. Close it before the next one is opened. */
  open(window: number, options: OpenWindowOptions = {}): OpenWindow {
    const { windows } = this.#swept;
    const text = this.#text;
    if (text === undefined) {
      throw new InternalError("a window was opened before the text was set.");
    }
    const isLast = window === this.windows - 1;
    const range = this.range(window);
    const model = windows === undefined ? this.#vocabulary : this.#load(window, range, windows, options);
    const { observers = [], needsOutput = false, keepsLeaving = false } = options;
    const capture =
      isLast && !keepsLeaving
        ? undefined
        : new StreamCapture(leavingNode(range), (first, vectors) =>
            this.#stream?.write((window + 1) % 2, first, vectors),
          );
    const knowsEnd = windows !== undefined || windowFactsOf(this.facts.architecture) !== undefined;
    const prediction = isLast ? this.#swept.prediction : undefined;
    const stop =
      isLast && !capture && !needsOutput && knowsEnd && !prediction
        ? [new StopAfter(leavingNode(range))]
        : [];
    const predicts =
      prediction &&
      new Prediction(model, prediction, range.to - range.from, {
        ...text,
        observers,
        threads: options.threads,
        stopsTrunk: !needsOutput,
      });
    const context = model.createContext({
      contextLength: text.text.context,
      sequences: text.sequences,
      batchSize: batchTokens,
      vectorInput: windows !== undefined,
      observers: [...observers, ...[capture, predicts?.capture].filter((one) => one !== undefined), ...stop],
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.preciseAttention && preciseAttention),
    });
    const input = this.#stream && { stream: this.#stream, side: window % 2 };
    return new OpenWindow(model, context, text.text, { capture, predicts, input }, windows !== undefined);
  }

  /** Vectors that enter a window, of consecutive tokens of the text. */
  entering(window: number, first: number, count: number): Float32Array {
    return this.#openStream().read(window % 2, first, count);
  }

  /** Has other vectors enter a window. */
  replaceEntering(window: number, first: number, vectors: Float32Array): void {
    this.#openStream().write(window % 2, first, vectors);
  }

  #openStream(): ResidualStream {
    if (this.#stream === undefined) {
      throw new InternalError("a model that is run in one piece has no stream between windows.");
    }
    return this.#stream;
  }

  /** Returns when what has left the window so far outlasts a power failure. */
  sync(): void {
    this.#stream?.sync();
  }

  close(): void {
    this.#stream?.close();
    this.#stream = undefined;
    for (const file of this.#ahead.values()) {
      file.close();
    }
    this.#ahead.clear();
    if (this.#swept.windows) {
      this.#vocabulary.close();
    }
  }

  #loadVocabulary(): Model {
    const { whole, windows } = this.#swept;
    if (windows === undefined) {
      return this.#host.model(whole);
    }
    const name = whole.name ?? whole.path;
    if (!windows.needsVocabulary) {
      return this.#host.model({ path: whole.path, name, vocabularyOnly: true });
    }
    const file = createMemoryFile(this.#host.library.ffi, "lopsided-vocabulary");
    try {
      this.#client.wait(this.#client.ask({ kind: "vocabulary", model: this.#model, path: file.path }));
      return this.#host.model({ path: file.path, name, vocabularyOnly: true });
    } finally {
      file.close();
    }
  }

  #load(
    window: number,
    range: WindowRange,
    plan: WindowPlan,
    { loadsNext = true }: OpenWindowOptions,
  ): Model {
    const file = this.#ahead.get(window) ?? this.#request(window, range);
    this.#ahead.delete(window);
    try {
      this.#client.wait(file.request);
      const { path, name = path, ...options } = this.#swept.whole;
      const layers = `layers ${range.from} to ${range.to - 1} of ${name}`;
      const model = this.#host.model({
        ...options,
        path: file.path,
        name: layers,
        predictionLayers: range.prediction !== undefined,
      });
      const next = plan.ranges[window + 1];
      if (next && plan.loadsAhead && loadsNext) {
        this.#ahead.set(window + 1, this.#request(window + 1, next));
      }
      return model;
    } finally {
      file.close();
    }
  }

  #request(window: number, range: WindowRange) {
    const file = createMemoryFile(this.#host.library.ffi, `lopsided-window-${window}`);
    const request = this.#client.ask({
      kind: "window",
      model: this.#model,
      range,
      path: file.path,
    });
    return { request, path: file.path, close: () => file.close() };
  }

  #embed(text: TextChunks, stream: ResidualStream): void {
    const { addsBos, bosToken } = this.facts;
    const all = addsBos ? Int32Array.from([bosToken, ...text.tokens]) : text.tokens;
    for (let chunk = 0; chunk < text.chunks; chunk++) {
      const first = chunk * text.context;
      const tokens = text.tokens.slice(first, first + text.context);
      if (addsBos) {
        tokens[0] = bosToken;
      }
      stream.write(0, first, this.#client.embeddings(this.#model, tokens, chunk === 0 ? all : undefined));
    }
  }
}

/** What goes in and out of a window. */
interface Streams {
  /** Takes what leaves it, unless it is the last one. */
  readonly capture: StreamCapture | undefined;
  /** Takes what leaves the last one, if further layers are run. */
  readonly predicts: Prediction | undefined;
  /** What enters it; tokens do if there is none. */
  readonly input: { readonly stream: ResidualStream; readonly side: number } | undefined;
}

/** A window ready to decode. */
export class OpenWindow {
  readonly model: Model;
  readonly context: ModelContext;
  readonly #text: TextChunks;
  readonly #streams: Streams;
  readonly #ownsModel: boolean;

  /** Use `Sweep.open`. */
  constructor(model: Model, context: ModelContext, text: TextChunks, streams: Streams, ownsModel: boolean) {
    this.model = model;
    this.context = context;
    this.#text = text;
    this.#streams = streams;
    this.#ownsModel = ownsModel;
  }

  /** Decodes a batch of chunks. What leaves the window is kept when this returns. */
  decode(batch: ChunkBatch): void {
    if (batch.begins) {
      this.context.clear();
    }
    const { capture, predicts } = this.#streams;
    capture?.begin(batch, this.#text.context, this.context.microBatchSize);
    predicts?.begin(batch, this.context.microBatchSize);
    this.context.decode(batch.sequences.map((sequence) => this.#inputOf(sequence, batch)));
    if (capture || predicts) {
      this.context.synchronize();
      capture?.end();
      predicts?.decode(batch);
    }
  }

  /** Releases the window's memory; a model that is run in one piece stays loaded. */
  close(): void {
    this.#streams.predicts?.close();
    this.context.close();
    if (this.#ownsModel) {
      this.model.close();
    }
  }

  #inputOf(sequence: ChunkBatch["sequences"][number], batch: ChunkBatch) {
    const { tokens, position } = sequence;
    // What leaves the window is wanted of every token.
    const { capture, predicts, input } = this.#streams;
    const wanted = capture || predicts ? { ...sequence, logitsFrom: 0 } : sequence;
    if (input === undefined) {
      return wanted;
    }
    const { stream, side } = input;
    const first = (batch.first + sequence.sequence) * this.#text.context + position;
    return { ...wanted, vectors: stream.read(side, first, tokens.length) };
  }
}
