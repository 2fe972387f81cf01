/**
 * Tables that the kernels share with the TypeScript code. Each is written into the kernels' memory at start, to
 * the address that `assembly/tables.ts` exports under the same name.
 */

import * as candidates from "../candidates.js";
import {
  EVEN_SIGNS,
  IQ1_GRID,
  IQ2_S_GRID,
  IQ2_XS_GRID,
  IQ2_XXS_GRID,
  IQ3_S_GRID,
  IQ3_XXS_GRID,
} from "../grids.js";
import { IQ4_LEVELS, IQ4_NEAREST_CODES, IQ4_NEAREST_LEVELS } from "../iq4.js";

export const tables: Readonly<Record<string, ArrayBufferView>> = {
  EVEN_SIGNS,
  IQ1_GRID,
  IQ2_XXS_GRID,
  IQ2_XS_GRID,
  IQ2_S_GRID,
  IQ3_XXS_GRID,
  IQ3_S_GRID,
  IQ4_LEVELS: Float32Array.from(IQ4_LEVELS),
  IQ4_NEAREST_LEVELS: Float32Array.from(IQ4_NEAREST_LEVELS),
  IQ4_NEAREST_CODES,
  ...candidates,
};
