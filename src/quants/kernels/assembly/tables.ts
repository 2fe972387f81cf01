// Room for the tables that the host writes at start, before any `prepare_*` function runs. Names and contents:
// ../tables.ts. `memory.data(size, alignment)` is an address fixed at compile time.

/** u8[128]: eight sign bits of seven stored ones. */
export const evenSignsTable: usize = memory.data(128, 16);
/** i8[2048][8]: points of the grid, values -1, 0, 1. */
export const iq1Grid: usize = memory.data(2048 * 8, 16);
/** i8[256][8]: points of the grid, values 8, 25, 43; likewise the next two. */
export const iq2XxsGrid: usize = memory.data(256 * 8, 16);
export const iq2XsGrid: usize = memory.data(512 * 8, 16);
export const iq2SGrid: usize = memory.data(1024 * 8, 16);
/** i8[256][4]: points of the grid, values 4 to 62. */
export const iq3XxsGrid: usize = memory.data(256 * 4, 16);
/** i8[512][4]: points of the grid, values 1 to 15. */
export const iq3SGrid: usize = memory.data(512 * 4, 16);
/** f32[16]: the levels of IQ4_NL and IQ4_XS. */
export const iq4Levels: usize = memory.data(16 * 4, 16);
/** f32[512]: the IQ4 level nearest to (i - 255.5) / 2; u8[512]: its code. */
export const iq4NearestLevels: usize = memory.data(512 * 4, 16);
export const iq4NearestCodes: usize = memory.data(512, 16);
/** f32[steps][4]: see src/quants/candidates.ts. */
export const q4_0Candidates: usize = memory.data(8 * 16, 16);
export const q5_0Candidates: usize = memory.data(8 * 16, 16);
export const iq4Candidates: usize = memory.data(8 * 16, 16);
export const q3kCandidates: usize = memory.data(8 * 16, 16);
export const sixBitScales: usize = memory.data(2 * 16, 16);
export const eightBitScales: usize = memory.data(4 * 16, 16);
export const q2kScales: usize = memory.data(2 * 16, 16);
export const kScales: usize = memory.data(2 * 16, 16);
/** f32[steps][2][4]: stretches and shifts. */
export const q2kCandidates: usize = memory.data(8 * 32, 16);
export const fourBitRanges: usize = memory.data(8 * 32, 16);
export const fiveBitRanges: usize = memory.data(8 * 32, 16);
/** f32[256]: what twice the values of E2M1 are multiplied by, by scale byte; i32: see src/quants/four-bit-float-encode.ts. */
export const mxfp4Scales: usize = memory.data(256 * 4, 16);
export const nvfp4Scales: usize = memory.data(256 * 4, 16);
export const mxfp4Candidates: usize = memory.data(4 * 4, 16);
export const nvfp4Candidates: usize = memory.data(16 * 4, 16);
