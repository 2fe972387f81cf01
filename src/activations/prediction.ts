/**
 * The layers that predict further tokens (MTP) over a text: each token enters them with the vector that left the
 * model's last layer at the token before, a chunk's first token with zeros, as llama.cpp's drafting does
 * (`common_speculative_impl_draft_mtp` in its `common/speculative.cpp`).
 */
import type { ModelContext } from "../engine/context.js";
import type { Model } from "../engine/model.js";
import type { Observer } from "../engine/observer.js";
import type { PredictionPlan } from "../model/prediction-facts.js";
import { batchTokens, type ChunkBatch, type TextChunks } from "../text/chunks.js";
import { StopAfter, StreamCapture } from "./stream-observers.js";

/** Name of the vectors that these layers put out (`t_h_nextn` of llama.cpp's graphs). */
const leavingPrediction = "h_nextn";

export interface PredictionOptions {
  readonly text: TextChunks;
  /** Chunks decoded together. */
  readonly sequences: number;
  readonly observers: readonly Observer[];
  readonly threads: number | undefined;
  /** The trunk computes nothing after what these layers take. */
  readonly stopsTrunk: boolean;
}

export class Prediction {
  /** Watches the trunk's context. */
  readonly capture: StreamCapture;
  readonly #context: ModelContext;
  readonly #plan: PredictionPlan;
  readonly #text: TextChunks;
  readonly #width: number;
  /** What has left the trunk in the batch, one vector for each token of the chunks taking part. */
  readonly #left: Float32Array;
  /** First chunk of the batch. */
  #first = 0;

  /**
   * @param model with its prediction layers loaded
   * @param layers in front of the prediction layers, in the model or window
   */
  constructor(model: Model, plan: PredictionPlan, layers: number, options: PredictionOptions) {
    const { text, sequences, observers, threads } = options;
    const node = plan.node.replace("#", String(layers - 1));
    const width = model.facts.outputLength;
    this.#plan = plan;
    this.#text = text;
    this.#width = width;
    this.#left = new Float32Array(sequences * text.context * width);
    this.capture = new StreamCapture(
      node,
      (first, vectors) => this.#left.set(vectors, (first - this.#first * text.context) * width),
      { width, stops: options.stopsTrunk },
    );
    this.#context = model.createContext({
      contextLength: text.context,
      sequences,
      batchSize: batchTokens,
      prediction: true,
      observers: [...observers, ...(plan.hasHeads ? [] : [new StopAfter(leavingPrediction)])],
      ...(threads === undefined ? {} : { threads }),
    });
  }

  /** Before the trunk decodes a batch. */
  begin(batch: ChunkBatch, microBatchSize: number): void {
    this.#first = batch.first;
    this.capture.begin(batch, this.#text.context, microBatchSize);
  }

  /** After the trunk has decoded it. */
  decode(batch: ChunkBatch): void {
    this.capture.end();
    if (batch.begins) {
      this.#context.clear();
    }
    const sequences = batch.sequences.map((sequence) => ({
      ...sequence,
      logitsFrom: 0,
      vectors: this.#entering(sequence),
    }));
    for (let layer = 0; layer < this.#plan.count; layer++) {
      if (layer > 0 || this.#plan.count > 1) {
        for (const { sequence, position } of sequences) {
          this.#context.truncate(sequence, position);
        }
        if (!this.#context.choosePredictionLayer(layer) && layer > 0) {
          break;
        }
      }
      this.#context.decode(sequences);
    }
    this.#context.synchronize();
  }

  close(): void {
    this.#context.close();
  }

  #entering({ sequence, position, tokens }: ChunkBatch["sequences"][number]): Float32Array {
    const vectors = new Float32Array(tokens.length * this.#width);
    const isFirst = position === 0 ? 1 : 0;
    const begin = sequence * this.#text.context + position - 1 + isFirst;
    const end = sequence * this.#text.context + position + tokens.length - 1;
    vectors.set(this.#left.subarray(begin * this.#width, end * this.#width), isFirst * this.#width);
    return vectors;
  }
}
