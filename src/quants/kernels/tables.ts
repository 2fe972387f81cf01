/**
 * Tables that the kernels share with the TypeScript code. Each is written into the kernels' memory at start, to
 * the address that `assembly/tables.ts` exports under the same name.
 */

import * as candidates from "../candidates.js";
import { evenSignsTable, iq1Grid, iq2SGrid, iq2XsGrid, iq2XxsGrid, iq3SGrid, iq3XxsGrid } from "../grids.js";
import { iq4Levels, iq4NearestCodes, iq4NearestLevels } from "../iq4.js";

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
  ...candidates,
};
