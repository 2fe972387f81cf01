/** Output-aware encoding as a worker uses it: keeps the factor of the latest input. */
import { MalformedInputError } from "../../errors.js";
import type { SimdModule } from "../../wasm/load.js";
import type { SharedInput } from "../shared-input.js";
import type { TypeName } from "../types.js";
import { defaultOptions, OutputAwareEncoder } from "./encode-row.js";
import { ExpertMoments, type ExpertRows } from "./expert-moments.js";
import { factorize } from "./factor.js";
import { superblockWeights } from "./format.js";
import { formats } from "./formats.js";
import { loadOutputAwareKernels } from "./load.js";
import { packedLength, unpackUpper } from "./packed.js";
import { encoderAnswer, factorAnswer } from "./self-test.js";
import { OutputAwareKernels } from "./simd.js";

/** Second moments of the input of some rows: their sums, or what they are made of when their turn comes. */
export type InputMoments = MomentSums | ExpertRows;

export interface MomentSums {
  /** What to call them in messages. */
  readonly name: string;
  /** Sum of x x^T, packed (`packed.ts`); best in shared memory, so that threads need no copies. */
  readonly sums: SharedInput;
  /** Vectors behind the sums. */
  readonly vectors: number;
}

/** A name for moments by their content. */
export function contentOf(moments: InputMoments): string {
  return "sums" in moments ? `${moments.sums.sha256} ${moments.vectors}` : ExpertMoments.key(moments);
}

/**
 * Added to the diagonal of moments with mean 1; more trusts the calibration text less. The first part is for other
 * texts being different, the second for chance: few vectors leave directions without any moments. Chosen by the
 * divergence of the tiny model on two texts, with 65, 6 and 1.5 vectors per column.
 */
function ridgeOf(vectors: number, columns: number): number {
  return Math.min(0.05 + (0.5 * columns) / Math.max(vectors, 1), 1);
}

/** Whether rows of a type and length can be encoded with moments. */
export function isRefinable(type: TypeName, columns: number): boolean {
  return formats[type] !== undefined && columns % superblockWeights === 0;
}

/** What rows' errors do to their outputs, in the moments' own scale. */
export interface OutputErrors {
  /** Sum over rows of sum H_ii w_i^2: what outputs of unrelated inputs would have. */
  readonly energy: number;
  /** Sum over rows of e H e^T. */
  readonly error: number;
}

export const noOutputErrors: OutputErrors = { energy: 0, error: 0 };

/** Moments made ready for a type. */
interface Prepared {
  refine(rows: Float32Array, start: Float32Array, encoded: Uint8Array): void;
  outputErrors(rows: Float32Array, decoded: Float32Array): OutputErrors;
}

/** Improves encoded rows. One for each thread. */
export class Refiner {
  readonly #kernels: OutputAwareKernels | undefined;
  #key = "";
  #latest: Prepared | undefined;
  #latestExpertMoments: ExpertMoments | undefined;

  readonly #module: WebAssembly.Module | undefined;
  readonly #simd: Pick<SimdModule, "module" | "isRight">;

  /** Without a module, and for what it gets wrong on this machine, the plain encoder runs. */
  constructor(simd: Pick<SimdModule, "module" | "isRight"> = loadOutputAwareKernels()) {
    this.#simd = simd;
    this.#module = simd.isRight(factorAnswer) ? simd.module : undefined;
    this.#kernels = this.#module && new OutputAwareKernels(this.#module);
  }

  /**
   * Encodes rows again so that their outputs' errors are least.
   * Throws a MalformedInputError that names the moments if they are not those of any inputs.
   * @param rows weights, finite, rows of `columns` one after another
   * @param start what `encoded` decodes to, the diagonal encoder's work
   * @param encoded gets the better rows; stays as it is if no input was ever seen
   */
  refine(
    type: TypeName,
    columns: number,
    moments: InputMoments,
    rows: Float32Array,
    start: Float32Array,
    encoded: Uint8Array,
  ): void {
    const key = `${type} ${contentOf(moments)}`;
    if (key !== this.#key) {
      this.#latest = undefined;
      this.#latest = this.#prepare(type, columns, moments);
      this.#key = key;
    }
    this.#latest?.refine(rows, start, encoded);
  }

  /** Adds the errors of rows, with the moments that the latest call of `refine` was given. */
  addOutputErrors(sum: OutputErrors, rows: Float32Array, decoded: Float32Array): OutputErrors {
    const { energy, error } = this.#latest?.outputErrors(rows, decoded) ?? noOutputErrors;
    return { energy: sum.energy + energy, error: sum.error + error };
  }

  #prepare(type: TypeName, columns: number, moments: InputMoments): Prepared | undefined {
    const { name, vectors } = moments;
    const format = formats[type];
    const whole = format && this.#whole(moments, columns);
    if (format === undefined || whole === undefined || isEmpty(whole, columns)) {
      return undefined;
    }
    try {
      const ridge = ridgeOf(vectors, columns);
      const kernels = this.#simd.isRight(encoderAnswer(type)) ? this.#kernels : undefined;
      if (kernels === undefined) {
        const factor = factorize(whole, columns, format.unit, ridge);
        const encoder = new OutputAwareEncoder(type, factor);
        return {
          refine: (rows, _start, encoded) => encoder.encodeRows(rows, encoded),
          outputErrors: (rows, decoded) => outputErrors(rows, decoded, factor.moments, columns),
        };
      }
      kernels.prepare(type, { moments: whole, columns, ridge });
      return {
        refine: (rows, start, encoded) => kernels.encodeRows(rows, start, encoded, defaultOptions),
        outputErrors: (rows, decoded) => kernels.outputErrors(rows, decoded),
      };
    } catch (error) {
      if (error instanceof MalformedInputError) {
        throw new MalformedInputError(`${name}: ${error.message}`);
      }
      throw error;
    }
  }

  /** The upper triangle of the whole matrix, until the next one; undefined if it is of another size. */
  #whole(moments: InputMoments, columns: number): Float32Array | undefined {
    if ("sums" in moments) {
      const { values } = moments.sums;
      return values.length === packedLength(columns) ? unpackUpper(values, columns) : undefined;
    }
    if ((moments.weights?.width ?? moments.layer.columns) !== columns) {
      return undefined;
    }
    this.#latestExpertMoments ??= new ExpertMoments(this.#module);
    return this.#latestExpertMoments.of(moments);
  }
}

function outputErrors(
  rows: Float32Array,
  decoded: Float32Array,
  moments: Float32Array,
  n: number,
): OutputErrors {
  let [energy, error] = [0, 0];
  for (let row = 0; row < rows.length; row += n) {
    for (let i = 0; i < n; i++) {
      let product = 0;
      for (let j = 0; j < n; j++) {
        product +=
          (moments[i * n + j] as number) * ((rows[row + j] as number) - (decoded[row + j] as number));
      }
      error += product * ((rows[row + i] as number) - (decoded[row + i] as number));
      energy += (moments[i * n + i] as number) * (rows[row + i] as number) ** 2;
    }
  }
  return { energy, error };
}

function isEmpty(moments: Float32Array, columns: number): boolean {
  for (let i = 0; i < columns; i++) {
    if ((moments[i * columns + i] as number) > 0) {
      return false;
    }
  }
  return true;
}
