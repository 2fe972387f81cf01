/** Reading rows of a model where it lies, by machines that reach it. */
import type { RowOrigin } from "../quants/transcode.js";

export interface RowReader {
  /** The rows, as far as this machine reaches them; they may turn out to be others than were meant. */
  read(origin: RowOrigin): Promise<Uint8Array | undefined>;
}
