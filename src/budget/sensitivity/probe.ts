/** A model on the text that its sensitivity is measured on: what it says while its weights change. */
import type { ModelContext } from "../../engine/context.js";
import type { JobHost } from "../../engine/job.js";
import { type JobFiles, joinFiles, readsModel } from "../../engine/job-files.js";
import type { Model, ModelOptions } from "../../engine/model.js";
import { decodeChunks, noNumbers } from "../../evaluate/scorers.js";
import { batchesOf, batchTokens, cutIntoChunks, type TextChunks } from "../../text/chunks.js";
import { readPlainText, tokensOf } from "../../text/text.js";
import type { PlainText } from "../../text/text-input.js";
import { chunksTogether, comparedStride, divergenceOf, firstCompared } from "./positions.js";

/** A model and a text. */
export interface ProbeParams {
  readonly model: ModelOptions;
  readonly text: PlainText;
  readonly context: number;
  readonly chunks: number | undefined;
  readonly threads: number | undefined;
}

/** Both are read. */
export function modelAndText({ model, text }: Pick<ProbeParams, "model" | "text">): JobFiles {
  return joinFiles(readsModel(model), { reads: [text.path] });
}

/** All jobs load the model in the same way, so that it is loaded once. */
export function loadPlain(host: Pick<JobHost, "model">, { model }: Pick<ProbeParams, "model">): Model {
  return host.model({ ...model, plainWeights: true });
}

export async function readChunks({ text, context, chunks }: ProbeParams, model: Model): Promise<TextChunks> {
  const bytes = await readPlainText(text, tokensOf({ context, chunks }));
  const { path, parseSpecial } = text;
  return cutIntoChunks(path, model.tokenize(bytes, { parseSpecial }), { context, chunks });
}

/** The model on the text, and what it said before its weights were changed. */
export class Probe {
  readonly #context: ModelContext;
  readonly #reference: Float32Array[] = [];
  /** Every so-many-th scored position is compared. */
  readonly #stride: number;

  readonly #model: Model;
  readonly #text: TextChunks;

  constructor(model: Model, text: TextChunks, threads: number | undefined) {
    this.#model = model;
    this.#text = text;
    this.#stride = comparedStride(text, model.facts.vocabularySize);
    this.#context = model.createContext({
      contextLength: text.context,
      sequences: this.#together,
      batchSize: batchTokens,
      ...(threads === undefined ? {} : { threads }),
    });
    this.#eachRow((logits, place) => {
      if (!logits.every(Number.isFinite)) {
        throw noNumbers(model.path, place.chunk, place.position);
      }
      this.#reference.push(logits.slice());
    });
  }

  /**
   * KL divergence of the model as it is now, at every position that is compared. `beforeGroup` is called before each
   * group of chunks that are decoded together.
   */
  divergences(beforeGroup?: () => void): Float64Array {
    const divergences = new Float64Array(this.#reference.length);
    let count = 0;
    this.#eachRow((logits, place) => {
      const divergence = divergenceOf(this.#reference[count] ?? logits, logits);
      if (!Number.isFinite(divergence)) {
        throw noNumbers(this.#model.path, place.chunk, place.position);
      }
      divergences[count++] = divergence;
    }, beforeGroup);
    return divergences;
  }

  get #together(): number {
    return chunksTogether(this.#text.context, this.#model.facts);
  }

  #eachRow(
    visit: (logits: Float32Array, place: { chunk: number; position: number }) => void,
    beforeGroup?: () => void,
  ): void {
    const { addsBos, bosToken, vocabularySize } = this.#model.facts;
    const first = firstCompared(this.#text.context);
    const batches = batchesOf(this.#text, {
      sequences: this.#together,
      batchSize: this.#context.batchSize,
      logitsFrom: first,
      startToken: addsBos ? bosToken : undefined,
    });
    for (const batch of batches) {
      if (batch.begins) {
        beforeGroup?.();
      }
      decodeChunks(this.#context, batch);
      const logits = this.#context.logits();
      for (const [row, place] of batch.rows.entries()) {
        if ((place.position - first) % this.#stride !== 0) {
          continue;
        }
        visit(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize), place);
      }
    }
  }
}
