/** The model file that a run makes. */
import type { QuantizeResult } from "../quantize/quantize.js";
import type { ScalesResult } from "../scales/scales.js";

export interface Encoded {
  readonly result: QuantizeResult;
  /** Of all files, one after the other. */
  readonly sha256: string;
  /** `asym-IQ2_S`. */
  readonly variant: string;
  /** `NAME-asym-IQ2_S`. */
  readonly name: string;
  /** What fitting scales has found, if they were fitted. */
  readonly scales?: ScalesResult;
}
