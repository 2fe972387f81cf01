/** Running a model over a calibration text with observers watching: what collecting an imatrix and moments share. */
import type { JobHost } from "../engine/job.js";
import { type JobFiles, joinFiles } from "../engine/job-files.js";
import type { Observer } from "../engine/observer.js";
import type { WindowRange } from "../model/layer-window.js";
import { batchesOf, cutIntoChunks, sequencesTogether, type TextChunks } from "../text/chunks.js";
import { readPlainText, tokensOf } from "../text/text.js";
import type { PlainText } from "../text/text-input.js";
import { Sweep, type SweptModel, sweptFiles } from "./sweep.js";
import { WindowClient } from "./window-client.js";
import type { WindowReply, WindowRequest } from "./window-messages.js";

export interface RunTextParams {
  readonly model: SweptModel;
  /** The calibration text. */
  readonly text: PlainText;
  /** Tokens in a chunk. */
  readonly context: number;
  /** Most chunks; all of the text if undefined. */
  readonly chunks: number | undefined;
  /** Threads; all by default. */
  readonly threads: number | undefined;
}

export type TextHost = JobHost<RunProgress | WindowRequest, WindowReply>;

/** A model and its text in chunks. */
export interface OpenText {
  readonly sweep: Sweep;
  readonly text: TextChunks;
  /** Chunks decoded together. */
  readonly sequences: number;
}

/** What a run reads. */
export function runTextFiles({ model, text }: RunTextParams): JobFiles {
  return joinFiles(sweptFiles(model), { reads: [text.path] });
}

/** Loads the model's tokenizer, tokenizes the text and cuts it into chunks. Close the sweep at the end. */
export async function openText(params: RunTextParams, host: TextHost): Promise<OpenText> {
  const bytes = await readPlainText(params.text, tokensOf(params));
  const sweep = new Sweep(host, new WindowClient(host), params.model, 0);
  try {
    const tokens = sweep.tokenize(bytes, params.text.parseSpecial);
    const text = cutIntoChunks(params.text.path, tokens, params);
    const sequences = sequencesTogether(text.context, text.context, sweep.facts);
    return { sweep, text, sequences };
  } catch (error) {
    sweep.close();
    throw error;
  }
}

/** How far a run is: chunks done, of how many; in windows, chunks that as many layers make up. */
export interface RunProgress {
  readonly done: number;
  readonly total: number;
  /** Layers that are being run, unless it is all of them. */
  readonly layers?: { readonly from: number; readonly to: number; readonly of: number };
}

/** A place in a run: `chunks` chunks of a window are done, and all windows before. */
export interface RunPlace {
  readonly window: number;
  readonly chunks: number;
}

export interface RunTextOptions {
  /** Who watches a window; called before it is run. */
  observersOf(range: WindowRange, window: number): readonly Observer[] | Promise<readonly Observer[]>;
  /** The products of the output matrix are wanted. */
  readonly needsOutput?: boolean;
  /** Where to begin; at the first chunk of the first window by default. */
  readonly from?: RunPlace;
  /** Stops when so many windows are done; runs all by default. */
  readonly until?: number;
  /** Where the residual stream of a run is kept that may go on later. */
  readonly streamPath?: string;
  /** Told when a window's chunks up to `chunks` are complete and everything is computed. */
  readonly onDone?: (place: RunPlace) => Promise<void>;
  /** Told when a window is complete. */
  readonly onWindow?: (window: number) => Promise<void>;
}

/** Runs the windows over the text's chunks; returns the seconds that took, without loading the first. */
export async function runText(
  { sweep, text, sequences }: OpenText,
  { threads }: Pick<RunTextParams, "threads">,
  host: TextHost,
  {
    observersOf,
    needsOutput = false,
    from,
    until = sweep.windows,
    streamPath,
    onDone,
    onWindow,
  }: RunTextOptions,
): Promise<number> {
  const begin = from ?? { window: 0, chunks: 0 };
  sweep.begin({ text, sequences, streamPath }, from !== undefined);
  let seconds = 0;
  for (let window = begin.window; window < until; window++) {
    const range = sweep.range(window);
    const first = window === begin.window ? begin.chunks : 0;
    const observers = await observersOf(range, window);
    const opened = sweep.open(window, { observers, threads, needsOutput, loadsNext: window + 1 < until });
    host.emit(progressAt(sweep, range, first, text.chunks));
    const started = performance.now();
    try {
      const { addsBos, bosToken } = sweep.facts;
      // Logits everywhere: otherwise the last layer computes only the tokens whose logits are wanted.
      const batches = batchesOf(text, {
        sequences,
        batchSize: opened.context.batchSize,
        logitsFrom: 0,
        startToken: addsBos ? bosToken : undefined,
        from: first,
      });
      for (const batch of batches) {
        opened.decode(batch);
        if (!batch.ends) {
          continue;
        }
        opened.context.synchronize();
        await onDone?.({ window, chunks: batch.end });
        host.emit(progressAt(sweep, range, batch.end, text.chunks));
      }
      await onWindow?.(window);
    } finally {
      seconds += (performance.now() - started) / 1000;
      opened.close();
    }
  }
  return seconds;
}

function progressAt(sweep: Sweep, range: WindowRange, chunks: number, total: number): RunProgress {
  if (sweep.windows === 1) {
    return { done: chunks, total };
  }
  const of = sweep.range(sweep.windows - 1).to;
  const done = (total * range.from + chunks * (range.to - range.from)) / of;
  return { done, total, layers: { from: range.from, to: range.to, of } };
}
