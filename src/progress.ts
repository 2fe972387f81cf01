/** How long work tells how far it is. Whoever does the work emits; whoever shows it (a terminal bar) listens. */
export interface Progress {
  /** What is being done, in a few words: "quantize", "imatrix". */
  readonly step: string;
  readonly done: number;
  readonly total: number;
  /** What `done` and `total` count: "weights", "chunks", "bytes". */
  readonly unit: string;
  /** What is being worked on right now: a tensor's name, a running perplexity. */
  readonly detail?: string;
  /** How long the rest takes, if whoever works knows better than by the share that is done. */
  readonly secondsLeft?: number;
}

export type OnProgress = (progress: Progress) => void;
