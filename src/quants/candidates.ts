/**
 * What the searches of each type try (see `scale-search.ts`, `range-search.ts`), for the encoders and, through the
 * tables of `kernels/tables.ts`, for their kernels. Steps come in the order of their use: effort `fast` takes the
 * first two, `default` four, `fine` all eight. The numbers were found by trying, on random and real rows.
 */
import { cutRanges } from "./range-search.js";
import { type Candidates, progressions } from "./scale-search.js";

/** Steps of a progression: the middle ones, the outer ones, those half way between. */
const inOrderOfUse = [1, 2, 0, 3, 0.5, 1.5, 2.5, -0.5];

/** Codes -8 to 7: the largest weight near either end, the more often the one with more codes. */
export const q4_0Candidates = progressions(
  [-6.25, -6.5625, -6.875, 6.25],
  [-0.9375, -0.9375, -0.9375, 0.75],
  inOrderOfUse,
);

/** Codes -16 to 15. */
export const q5_0Candidates = progressions(
  [-13, -13.375, -13.75, 12.5],
  [-1.125, -1.125, -1.125, 1.125],
  inOrderOfUse,
);

/** Levels -127 to 113. Their distances differ, so both signs are worth as many tries. */
export const iq4Candidates = progressions(
  [-104, -120, 98, 114],
  [-16, -16, 16, 16],
  [0, 2, 0.5, 2.5, 0.25, 2.25, 0.75, 2.75],
);

/** Codes -4 to 3. */
export const q3kCandidates = progressions(
  [-2.75, -3.1875, 2.25, 2.6875],
  [-0.875, -0.875, 0.875, 0.875],
  inOrderOfUse,
);

/** Integer scales -32 to 31 of blocks in a superblock of Q3_K or IQ4_XS. */
export const sixBitScales = progressions([-29, -30, 29, 30], [-2, -2, 2, 2], [0, 1]);

/** Integer scales -128 to 127 of Q6_K. */
export const eightBitScales = progressions([-117, -116, -115, -114], [-4, -4, -4, -4], [0, 1, 2, 3]);

/** Integer scales and minima 0 to 15 of Q2_K. */
export const q2kScales = upTo(15);

/** Integer scales and minima 0 to 63 of Q4_K and Q5_K. */
export const kScales = upTo(63);

/** From 6 % below to 5 % above the largest scale or minimum. */
function upTo(top: number): Candidates {
  const sixteenth = top / 16;
  return progressions(
    [15 * sixteenth, 15.25 * sixteenth, 15.5 * sixteenth, 15.75 * sixteenth],
    [sixteenth, sixteenth, sixteenth, sixteenth],
    [0, 1],
  );
}

/** Codes 0 to 3. */
export const q2kCandidates = cutRanges(
  3,
  [-0.05, 0.07, 0.18, 0.3],
  [0.07, 0.18, -0.05, 0.3, 0, 0.12, 0.24, 0.36],
);

/** Codes 0 to 15 (Q4_1, Q4_K). */
export const fourBitRanges = cutRanges(
  15,
  [-0.05, -0.02, 0.01, 0.04],
  [-0.02, 0.01, -0.05, 0.04, -0.035, -0.005, 0.025, 0.055],
);

/** Codes 0 to 31 (Q5_1, Q5_K). */
export const fiveBitRanges = cutRanges(
  31,
  [-0.025, -0.01, 0.005, 0.02],
  [-0.01, 0.005, -0.025, 0.02, -0.0175, -0.0025, 0.0125, 0.0275],
);
