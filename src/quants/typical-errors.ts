/** What a type usually costs, for when the weights themselves are not at hand. */
import { bitsPerWeight, type TypeName } from "./types.js";

/**
 * Squared error relative to the weights' own squares, of normally distributed weights under log-normal importance,
 * as our encoders leave it (`typical-errors.test.ts` measures it again).
 */
const table: Readonly<Partial<Record<TypeName, number>>> = {
  F16: 4.3e-8,
  BF16: 2.8e-6,
  Q8_0: 2.9e-5,
  Q6_K: 2.3e-4,
  Q5_K: 0.001,
  Q5_1: 9.3e-4,
  Q5_0: 0.0014,
  Q4_K: 0.0041,
  Q4_1: 0.004,
  Q4_0: 0.0059,
  IQ4_NL: 0.0047,
  IQ4_XS: 0.0048,
  Q3_K: 0.018,
  IQ3_S: 0.0124,
  IQ3_XXS: 0.0219,
  Q2_K: 0.0547,
  IQ2_S: 0.0469,
  IQ2_XS: 0.0613,
  IQ2_XXS: 0.0824,
};

/** The typical relative error of a type; about 4^-bits for a type that the table does not have. */
export function typicalError(type: TypeName): number {
  return table[type] ?? 4 ** -(bitsPerWeight(type) - 0.5);
}
