/** What `compare` finds. */
import type { Floor } from "../evaluate/floor.js";
import type { PairedDifference } from "../evaluate/paired.js";
import type { Perplexity } from "../evaluate/perplexity.js";
import type { RoutingOfLayer } from "../evaluate/routing.js";
import type { Measured, MeasuredText, ScoredRange } from "../evaluate/scores.js";

/** A file and its size. */
export interface FileSummary {
  /** The file's name. */
  readonly name: string;
  /** As it was given. */
  readonly path: string;
  readonly bytes: number;
  readonly bpw: number;
}

/** One of the files. */
export interface ComparedModel extends FileSummary, Measured {
  readonly texts: readonly MeasuredText[];
  /** By the place in the chunk. */
  readonly byPosition: readonly ScoredRange[];
  /** How far the routers choose as the source's do, in each layer. */
  readonly routing?: readonly RoutingOfLayer[];
  /** The text with the largest mean divergence; only if there are several. */
  readonly worst?: { readonly name: string; readonly kld: number };
  /** Mean divergence minus the first file's, paired by chunks; not for the first file itself. */
  readonly difference?: PairedDifference;
}

export interface CompareResult {
  readonly source: FileSummary & Perplexity;
  readonly models: readonly ComparedModel[];
  /** How far the source is from itself: smaller differences mean nothing. */
  readonly floor?: Floor;
  /** Tokens in a chunk. */
  readonly context: number;
  /** Of all texts together. */
  readonly chunks: number;
  readonly seconds: number;
}
