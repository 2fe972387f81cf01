/**
 * Tables that the kernels share with the TypeScript code. Each is written into the kernels' memory at start, to
 * the address that `assembly/tables.ts` exports under the same name.
 */

import * as candidates from "../candidates.js";
import { mxfp4Candidates, mxfp4Scales, nvfp4Candidates } from "../four-bit-float-encode.js";
import { evenSignsTable, iq1Grid, iq2SGrid, iq2XsGrid, iq2XxsGrid, iq3SGrid, iq3XxsGrid } from "../grids.js";
import { iq4Levels, iq4NearestCodes, iq4NearestLevels } from "../iq4.js";
import { halfUe4m3 } from "../nvfp4.js";

export const tables: Readonly<Record<string, ArrayBufferView>> = {
  evenSignsTable,
  iq1Grid,
  iq2XxsGrid,
  iq2XsGrid,
  iq2SGrid,
  iq3XxsGrid,
  iq3SGrid,
  iq4Levels: Float32Array.from(iq4Levels),
  iq4NearestLevels: Float32Array.from(iq4NearestLevels),
  iq4NearestCodes,
  mxfp4Scales,
  nvfp4Scales: halfUe4m3,
  mxfp4Candidates,
  nvfp4Candidates,
  ...candidates,
};
