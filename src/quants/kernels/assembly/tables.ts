// Room for the tables that the host writes at start, before any `prepare_*` function runs. Names and contents:
// ../tables.ts. `memory.data(size, alignment)` is an address fixed at compile time.

/** u8[128]: eight sign bits of seven stored ones. */
export const EVEN_SIGNS: usize = memory.data(128, 16);
/** i8[2048][8]: points of the grid, values -1, 0, 1. */
export const IQ1_GRID: usize = memory.data(2048 * 8, 16);
/** i8[256][8]: points of the grid, values 8, 25, 43; likewise the next two. */
export const IQ2_XXS_GRID: usize = memory.data(256 * 8, 16);
export const IQ2_XS_GRID: usize = memory.data(512 * 8, 16);
export const IQ2_S_GRID: usize = memory.data(1024 * 8, 16);
/** i8[256][4]: points of the grid, values 4 to 62. */
export const IQ3_XXS_GRID: usize = memory.data(256 * 4, 16);
/** i8[512][4]: points of the grid, values 1 to 15. */
export const IQ3_S_GRID: usize = memory.data(512 * 4, 16);
/** f32[16]: the levels of IQ4_NL and IQ4_XS. */
export const IQ4_LEVELS: usize = memory.data(16 * 4, 16);
/** f32[512]: the IQ4 level nearest to (i - 255.5) / 2; u8[512]: its code. */
export const IQ4_NEAREST_LEVELS: usize = memory.data(512 * 4, 16);
export const IQ4_NEAREST_CODES: usize = memory.data(512, 16);
/** f32[steps][4]: see src/quants/candidates.ts. */
export const Q4_0_CANDIDATES: usize = memory.data(8 * 16, 16);
export const Q5_0_CANDIDATES: usize = memory.data(8 * 16, 16);
export const IQ4_CANDIDATES: usize = memory.data(8 * 16, 16);
export const Q3_K_CANDIDATES: usize = memory.data(8 * 16, 16);
export const Q6_K_CANDIDATES: usize = memory.data(4 * 16, 16);
export const SIX_BIT_SCALES: usize = memory.data(2 * 16, 16);
export const EIGHT_BIT_SCALES: usize = memory.data(2 * 16, 16);
export const Q2_K_SCALES: usize = memory.data(2 * 16, 16);
export const K_SCALES: usize = memory.data(2 * 16, 16);
/** f32[steps][2][4]: stretches and shifts. */
export const Q2_K_CANDIDATES: usize = memory.data(8 * 32, 16);
export const FOUR_BIT_RANGES: usize = memory.data(8 * 32, 16);
export const FIVE_BIT_RANGES: usize = memory.data(8 * 32, 16);
