/** Whoever encodes slices, as those that have slices see it. */
import type { StoredSlice, Survey } from "./survey.js";
import type { Slice, Transcoded } from "./transcode.js";

/**
 * Takes slices and gives back what becomes of them: threads of this machine (`EncoderPool`), or other machines. A
 * slice is a pure function of its fields, what it shares with others is named by content (`SharedInput`), and results
 * may come in any order. The slice's `source` belongs to the transcoder afterwards.
 */
export interface Transcoder {
  /**
   * Slices on their way at once that keep every encoder busy; with their size, this bounds the caller's memory. It
   * changes as machines come and go.
   */
  readonly slicesInFlight: number;
  /** See `transcode` for the errors that reject the promise. They concern this slice alone. */
  transcode(slice: Slice): Promise<Transcoded>;
  /**
   * Slices that share what must be made ready to encode them, above all moments: one encoder does them one after the
   * other. The results in their order, or the error of the first that has one when all have come to their end.
   */
  transcodeTogether(slices: readonly Slice[]): Promise<Transcoded[]>;
  /** See `survey` for the errors that reject the promise. */
  survey(slice: StoredSlice): Promise<Survey>;
  /** Who encodes and how fast, for people to read while it goes on; absent if that is this machine alone. */
  describe?(): string;
}

/** All results, or the error of the first in order that has one, when all have come to their end. */
export async function allOrFirst<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}
