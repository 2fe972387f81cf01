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
